//! The daemon: see `packnback_node`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use packnback_node::config::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match packnback_node::runtime::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packnback-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}
