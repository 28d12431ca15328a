//! The program `packnback-stage`.

use std::process::ExitCode;

fn main() -> ExitCode {
    packnback_stage::run(std::env::args_os().collect()).into()
}
