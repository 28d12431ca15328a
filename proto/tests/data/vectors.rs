//! Golden vectors: `testdata/vectors/*.json`, compared byte for byte with what the code makes of
//! their inputs now. `PACKNBACK_BLESS=1` writes them; after the first release that is a change of
//! the format.
//!
//! Every failing case states its class here in the code too, so that blessing cannot hide a
//! refusal that is gone.

mod cbor;
mod exchange;
mod records;
mod seed;
mod subset;
mod trees;

use packnback_proto::cbor::Value;
use serde_json::json;

/// Compares with the file, or writes it.
fn golden(name: &str, about: &str, cases: &[serde_json::Value]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/vectors")
        .join(format!("{name}.json"));
    let mut text = format!("{{\n\"about\": {},\n\"cases\": [\n", json!(about));
    let lines: Vec<_> = cases.iter().map(serde_json::Value::to_string).collect();
    text.push_str(&lines.join(",\n"));
    text.push_str("\n]\n}\n");
    if std::env::var_os("PACKNBACK_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let file = std::fs::read_to_string(&path).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&file).unwrap();
    for (case, expected) in cases.iter().zip(parsed["cases"].as_array().unwrap()) {
        assert_eq!(case, expected, "{name}: {}", case["name"]);
    }
    assert_eq!(file, text, "{name}");
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// CBOR in the diagnostic notation of RFC 8949, section 8.
fn diag(value: &Value) -> String {
    let join = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::Bytes(bytes) => format!("h'{}'", hex(bytes)),
        Value::Text(text) => json!(text).to_string(),
        Value::Array(items) => format!("[{}]", join(items.iter().map(diag).collect())),
        Value::Map(map) => {
            let pairs = map.iter().map(|(k, v)| format!("{}: {}", diag(k), diag(v)));
            format!("{{{}}}", join(pairs.collect()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn diagnostic_notation() {
    let bytes = data_encoding::HEXLOWER
        .decode(b"a301830af62102420a0b036261220b")
        .unwrap();
    assert!(serde_cbor::from_slice::<Value>(&bytes).is_err());
    let bytes = data_encoding::HEXLOWER
        .decode(b"a301830af62102420a0b03626122")
        .unwrap();
    let value: Value = serde_cbor::from_slice(&bytes).unwrap();
    assert_eq!(diag(&value), r#"{1: [10, null, -2], 2: h'0a0b', 3: "a\""}"#);
}
