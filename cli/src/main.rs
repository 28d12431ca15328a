//! The program `packnback`.

use std::process::ExitCode;

fn main() -> ExitCode {
    packnback_cli::run(std::env::args_os()).into()
}
