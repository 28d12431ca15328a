//! The stage: small worlds of real programs on this machine, for `packnback demo` and `packnback drill`, and the
//! attackers that play in them. The program `packnback-stage` is started by `packnback` and by itself, not by people.
//!
//! | Module | Does |
//! |---|---|
//! | [`staging`] | nodes with homes of their own, and commands run as a person would |
//! | [`demo`] | the whole promise: back up, lose the machine, get everything back |
//! | [`drill`] | an attack on such a world, what stopped it, and what is left |
//! | [`attack`] | the attacker: a process of its own that speaks the protocols and breaks their rules |
//! | [`run()`] | from the words on the command line to these |
//!
//! The programs are run as processes, as a person would run them; the libraries of `cli` and `node` serve to read what
//! they made and to play those who do not keep to them.

mod attack;
mod demo;
mod drill;
mod run;
mod staging;

pub use run::run;
