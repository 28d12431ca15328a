//! Bodies of messages: ids, bitmaps and lists of records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::limits::HAVE_IDS_MAX;
use packnback_proto::wire::ids::{
    decode_bitmap, decode_ids, encode_bitmap, encode_ids, push_record, split_records,
};

fuzz_target!(|data: &[u8]| {
    if let Ok(ids) = decode_ids(data, HAVE_IDS_MAX) {
        assert_eq!(encode_ids(&ids), data);
    }
    if let Ok(answers) = decode_bitmap(data, data.len() * 8) {
        assert_eq!(encode_bitmap(&answers), data);
    }
    if let Ok(records) = split_records(data) {
        let mut again = Vec::new();
        for record in records {
            push_record(&mut again, record).unwrap();
        }
        assert_eq!(again, data);
    }
});
