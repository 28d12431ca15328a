//! `chunker.json`: cut points.

use packnback_proto::chunk::{CHUNKER_ID, Chunker, GEAR_MASK, LOOSE, STRICT, WINDOW};
use packnback_proto::crypto::keys::ChunkKeys;
use packnback_proto::limits::{CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, MIB};
use serde_json::{Value, json};

use super::{GENERATORS, Input, check, each, hex, key, number, read};
use crate::n24_chunker::{AT_AVG, AT_MIN, cuts, label_with_tempting_warm_up, reference_cuts};
use crate::support::bytes32;

const FILE: &str = "chunker.json";

fn cases() -> Value {
    let inputs = [
        Input::bulk("cuts", 16 * MIB),
        Input::letters("cuts", 12 * MIB + 1),
        Input::zeros(CHUNK_MAX + 1),
        Input::zeros(CHUNK_MIN),
        Input::period("cuts", 61, 9 * MIB),
        Input::period("cuts", 100_003, 9 * MIB),
        Input::bulk("cuts", CHUNK_MIN + 1),
        // For the first group: cuts exactly where the strict and the loose rule begin.
        Input::bulk(AT_MIN, 2 * MIB),
        Input::bulk(AT_AVG, 2 * MIB),
    ];
    let mut all = Vec::new();
    for group in ["group a", "group b"] {
        let group_key = bytes32(group);
        let keys = ChunkKeys::new(&key(&json!({ "k": hex(&group_key) }), "k"));
        let chunker = Chunker::new(&keys);
        let tempting = Input::bulk(&label_with_tempting_warm_up(&keys), 3 * MIB);
        for input in inputs.iter().chain([&tempting]) {
            let lens = cuts(&chunker, &input.1);
            all.push(json!({ "group_key": hex(&group_key), "data": input.0, "chunks": lens }));
        }
        let first = cuts(&chunker, &inputs[0].1)[0];
        // The same file, ending right before, at and behind its first cut.
        for len in [first - 1, first, first + 1] {
            let data = Input::bulk("cuts", len);
            assert!(inputs[0].1.starts_with(&data.1));
            let lens = cuts(&chunker, &data.1);
            all.push(json!({ "group_key": hex(&group_key), "data": data.0, "chunks": lens }));
        }
    }
    Value::Array(all)
}

#[test]
fn chunker_json_is_what_the_code_makes() {
    let about = "Lengths of the chunks of a file, for the group key C[g]. The rules are in \
        docs/format.md. 'gear_mask' is hex, most significant digit first.";
    check(
        FILE,
        &json!({
            "about": [about, GENERATORS],
            "constants": {
                "chunker": CHUNKER_ID, "min": CHUNK_MIN, "avg": CHUNK_AVG, "max": CHUNK_MAX,
                "window": WINDOW, "gear_mask": format!("{GEAR_MASK:016x}"), "strict": STRICT,
                "loose": LOOSE,
            },
            "cases": cases(),
        }),
    );
}

#[test]
fn chunker_json_read_alone() {
    each(&read(FILE), "cases", |v| {
        let keys = ChunkKeys::new(&key(v, "group_key"));
        let data = Input::bytes(&v["data"]);
        let expected: Vec<usize> = v["chunks"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(reference_cuts(&keys, &data), expected);
    });
}
