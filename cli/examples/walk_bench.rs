//! How long a walk of a tree takes: `cargo run --release --example walk_bench -- DIR [ROUNDS] [THREADS]`.

use std::path::PathBuf;
use std::time::Instant;

use packnback_cli::parts::{Kind, Walk, WalkItem, WalkOptions};

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(root) = args.next().map(PathBuf::from) else {
        eprintln!("usage: walk_bench DIR [ROUNDS] [THREADS]");
        std::process::exit(2);
    };
    let number =
        |arg: Option<std::ffi::OsString>| arg.and_then(|text| text.to_str()?.parse::<usize>().ok());
    let rounds = number(args.next()).unwrap_or(5);
    let threads = number(args.next());
    for round in 1..=rounds {
        let options = WalkOptions {
            threads,
            ..WalkOptions::default()
        };
        let start = Instant::now();
        let (mut files, mut dirs, mut others, mut problems, mut bytes) =
            (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        let mut path = Vec::new();
        for item in Walk::new(
            std::slice::from_ref(&root),
            std::path::Path::new("/"),
            options,
        ) {
            match item {
                WalkItem::Entry(item) => {
                    path.clear();
                    item.push_path(&mut path);
                    match item.stat.kind {
                        Kind::File => {
                            files += 1;
                            bytes += item.stat.size;
                        }
                        Kind::Dir => dirs += 1,
                        _ => others += 1,
                    }
                }
                WalkItem::Skipped { .. } | WalkItem::Left { .. } => others += 1,
                WalkItem::Problem(problem) => {
                    eprintln!("{problem}");
                    problems += 1;
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "round {round}: {seconds:.3} s; {files} files of {bytes} bytes, {dirs} directories, {others} others, {problems} problems"
        );
    }
}
