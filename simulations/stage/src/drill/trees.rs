//! Files for the drill.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Stands in a small file. Nobody but the owner may ever read it again.
pub(super) const MARKER: &str = "drill marker: the salary of everybody, in a small file";
/// Part of a file's name.
pub(super) const NAMED: &str = "nobody-shall-read-this-name";

const SMALL_FILES: u32 = 40;
const LARGE: usize = 1_500_000;
const SHARED: usize = 900_000;

/// Bytes that do not compress, the same for the same name.
fn noise(name: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Makes the files of a machine: small ones, large ones, one that all machines have, links.
///
/// # Errors
/// When they cannot be written.
pub(super) fn grow(dir: &Path, machine: &str) -> io::Result<()> {
    fs::create_dir_all(dir.join("papers/old"))?;
    fs::create_dir_all(dir.join("empty"))?;
    fs::write(
        dir.join(format!("papers/{NAMED}.txt")),
        format!("{MARKER}, on {machine}\n"),
    )?;
    for number in 0..SMALL_FILES {
        let len = usize::try_from(number).unwrap_or(0).saturating_mul(97);
        let name = format!("papers/old/note{number:03}.txt");
        fs::write(dir.join(&name), noise(&format!("{machine} {name}"), len))?;
    }
    fs::write(
        dir.join("film.bin"),
        noise(&format!("{machine} film"), LARGE),
    )?;
    fs::write(dir.join("of-all-machines.bin"), noise("shared", SHARED))?;
    fs::hard_link(dir.join("film.bin"), dir.join("film-again.bin"))?;
    symlink("papers/old", dir.join("latest"))
}

/// A day's work.
///
/// # Errors
/// When it cannot be written.
pub(super) fn work(dir: &Path, day: &str) -> io::Result<()> {
    fs::write(
        dir.join("papers/today.txt"),
        noise(&format!("{day} today"), 5000),
    )?;
    fs::write(
        dir.join(format!("clip-{day}.bin")),
        noise(&format!("{day} clip"), 400_000),
    )?;
    fs::remove_file(dir.join("papers/old/note007.txt")).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    })?;
    let mut film = fs::OpenOptions::new()
        .append(true)
        .open(dir.join("film.bin"))?;
    film.write_all(&noise(day, 10_000))
}

/// What ransomware does to files.
///
/// # Errors
/// When they cannot be written.
pub(super) fn encrypt(dir: &Path) -> io::Result<u64> {
    let mut done = 0u64;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            done = done.saturating_add(encrypt(&entry.path())?);
        } else if kind.is_file() {
            let len = usize::try_from(entry.metadata()?.len()).unwrap_or(0);
            let name = entry.path().display().to_string();
            fs::write(
                entry.path(),
                noise(&format!("locked {name}"), len.min(50_000)),
            )?;
            let mut locked = entry.path().into_os_string();
            locked.push(".locked");
            fs::rename(entry.path(), locked)?;
            done = done.saturating_add(1);
        }
    }
    Ok(done)
}
