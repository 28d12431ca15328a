//! Zeros that are known to be zeros without having been fetched.

use std::os::unix::fs::MetadataExt;

use super::support::*;
use crate::fs::*;

const MIB: u64 = 1 << 20;

fn sink(target: &Target, name: &str, size: u64) -> FileSink {
    match target.create_file(&file(name, size)).unwrap() {
        Created::Write(sink) => sink,
        Created::No(done) => panic!("{done:?}"),
    }
}

/// They are read as zeros, stay within the size, and are no hole: a file takes the space it was saved with.
#[test]
fn zeros_are_as_if_they_had_been_given() {
    let dir = temp();
    let target = Target::open(dir.path(), RestoreOptions::default()).unwrap();
    let size = 3 * MIB + 5;
    let zeros = vec![0; usize::try_from(2 * MIB + 5).unwrap()];
    type Way<'a> = &'a dyn Fn(&FileSink) -> Result<(), WriteError>;
    let ways: [(&str, Way<'_>); 2] = [
        ("known", &|sink| sink.zeros(MIB, 2 * MIB + 5)),
        ("given", &|sink| sink.write_at(MIB, &zeros)),
    ];
    let mut blocks = Vec::new();
    for (name, make) in ways {
        let sink = sink(&target, name, size);
        make(&sink).unwrap();
        sink.write_at(0, &[7; 1 << 20]).unwrap();
        assert!(sink.zeros(size - 1, 2).is_err(), "beyond the end");
        assert_eq!(sink.finish(&file(name, size)).unwrap(), Done::Created);
        let path = dir.path().join(name);
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len() as u64, size, "{name}");
        assert!(content[..1 << 20].iter().all(|byte| *byte == 7), "{name}");
        assert!(content[1 << 20..].iter().all(|byte| *byte == 0), "{name}");
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        blocks.push(path.metadata().unwrap().blocks());
    }
    assert_eq!(blocks[0], blocks[1]);
}

/// What was not covered is an error, as it is for what was not written.
#[test]
fn zeros_count_as_content() {
    let dir = temp();
    let target = Target::open(dir.path(), RestoreOptions::default()).unwrap();
    let short = sink(&target, "f", MIB);
    short.zeros(0, MIB - 1).unwrap();
    let finished = short.finish(&file("f", MIB));
    assert!(matches!(finished, Err(WriteError::WrongSize { .. })));
    assert!(!dir.path().join("f").exists());
}
