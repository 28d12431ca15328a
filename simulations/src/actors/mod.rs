//! Who acts in the world: devices that back up, an owner that signs, a blank machine that restores. An administrator
//! is a line of the plan; an attacker and a liar have their place here.

pub mod device;
pub mod folder;
pub mod owner;
pub mod restorer;
