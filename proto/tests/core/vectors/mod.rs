//! Golden vectors: `testdata/vectors/{crypto,object,chunker}.json`.
//!
//! Two directions. Each file must be exactly what the code makes from its inputs (run with
//! `PACKNBACK_BLESS=1` to write it anew: a change of what is there breaks the format). And reading
//! only the file, as a program in another language would, must give the stated results and
//! failure classes.

mod chunker;
mod crypto;
mod object;

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use packnback_proto::crypto::secret::Secret32;
use serde_json::{Value, json};

use crate::support::{bulk, letters};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/vectors")).join(name)
}

/// Compares with the file, or writes it.
fn check(name: &str, made: &Value) {
    let text = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var_os("PACKNBACK_BLESS").is_some() {
        std::fs::create_dir_all(path("")).unwrap();
        std::fs::write(path(name), text).unwrap();
    } else if std::fs::read_to_string(path(name)).unwrap() != text {
        let file = read(name);
        for (key, value) in made.as_object().unwrap() {
            assert_eq!(&file[key], value, "{name}: section {key} differs");
        }
        panic!("{name} differs in form or has sections nobody makes");
    }
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn each(file: &Value, section: &str, mut f: impl FnMut(&Value)) {
    let items = file[section].as_array().unwrap();
    assert!(!items.is_empty());
    for item in items {
        f(item);
    }
}

const GENERATORS: &str = "Inputs are {hex}, or made by a generator: 'bulk' = len bytes of the BLAKE3 \
    extendable output of the ASCII label (plain hash mode); 'letters' = the same with each byte b \
    replaced by character b & 15 of 'etaoinshrdlu .,\\n'; 'zeros' = len zero bytes; 'period' = the \
    first `period` bytes of bulk(label) over and over, len bytes in all. \
    A field 'expect' names the class of failure; without it the vector succeeds.";

/// A description of input bytes and the bytes.
#[derive(Clone)]
struct Input(Value, Vec<u8>);

impl Input {
    fn hex(bytes: &[u8]) -> Self {
        Self(json!({ "hex": hex(bytes) }), bytes.to_vec())
    }
    fn made(spec: Value) -> Self {
        let bytes = Self::bytes(&spec);
        Self(spec, bytes)
    }
    fn bulk(label: &str, len: usize) -> Self {
        Self::made(json!({ "generator": "bulk", "label": label, "len": len }))
    }
    fn letters(label: &str, len: usize) -> Self {
        Self::made(json!({ "generator": "letters", "label": label, "len": len }))
    }
    fn zeros(len: usize) -> Self {
        Self::made(json!({ "generator": "zeros", "len": len }))
    }
    fn period(label: &str, period: usize, len: usize) -> Self {
        Self::made(json!({ "generator": "period", "label": label, "period": period, "len": len }))
    }

    /// The bytes a description stands for.
    fn bytes(spec: &Value) -> Vec<u8> {
        if let Some(hex) = spec["hex"].as_str() {
            return unhex(hex);
        }
        let len = number(&spec["len"]);
        let label = spec["label"].as_str().unwrap_or_default();
        match spec["generator"].as_str().unwrap() {
            "bulk" => bulk(label, len),
            "letters" => letters(label, len),
            "zeros" => vec![0; len],
            "period" => {
                let pattern = bulk(label, number(&spec["period"]));
                pattern.iter().copied().cycle().take(len).collect()
            }
            other => panic!("unknown generator {other}"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn field(value: &Value, name: &str) -> Vec<u8> {
    unhex(
        value[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {value}")),
    )
}

fn field32(value: &Value, name: &str) -> [u8; 32] {
    field(value, name).try_into().unwrap()
}

fn key(value: &Value, name: &str) -> Secret32 {
    Secret32::new(field32(value, name))
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn number32(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}
