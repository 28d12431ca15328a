//! Requests to bytes and back.
//!
//! ```text
//! file   = ["PNBREQ1", body bstr, H(body) bstr .size 32]                    at most 16 MiB
//! body   = {1: owner, 2: created uint, 3: [+ wanted bstr], 4: [* order bstr], 5: [* device]}
//! wanted = {4: [+ host] / null, 5: op uint, 6: arg, ?7: not before uint}    the keys of an order
//! device = {1: device, 2: [+ cert bstr], 3: [* [seq uint, snapshot id]], 4: [* snap], 5: more uint}
//! snap   = [snap bstr, [* receipt bstr]]
//! ```

use super::{DeviceEvidence, Request, RequestError, SnapEvidence, Wanted};
use crate::cbor::{
    Bounds, CborError, Fields, Reader, ToValue, Writer, decode_value, encode_value, int_map,
};
use crate::crypto::hash::object_id;
use crate::ids::{NodeId, OwnerId, SnapshotId};
use crate::limits::{
    CBOR_DEPTH_MAX, RECORD_MAX, REQUEST_CERTS_MAX, REQUEST_DEVICES_MAX, REQUEST_HEADS_MAX,
    REQUEST_MAX, REQUEST_ORDERS_MAX, REQUEST_RECEIPTS_MAX, REQUEST_SNAPS_MAX, REQUEST_WANTED_MAX,
};
use crate::record::{Op, RecordError, check_order};

const MAGIC: &str = "PNBREQ1";
/// What every version begins with.
const FAMILY: &str = "PNBREQ";

/// Encodes a request.
///
/// # Errors
/// [`RequestError`] if it breaks a rule of the format or a limit: what this encodes, [`decode`] takes.
pub fn encode(request: &Request) -> Result<Vec<u8>, RequestError> {
    check(request)?;
    let mut w = Writer::with_capacity(64 * 1024);
    w.map(5);
    w.uint(1u8);
    w.bytes(&request.owner.0);
    w.uint(2u8);
    w.uint(request.created);
    w.uint(3u8);
    w.array(request.wanted.len());
    for wanted in &request.wanted {
        w.bytes(&encode_wanted(wanted)?);
    }
    w.uint(4u8);
    byte_strings(&mut w, &request.orders);
    w.uint(5u8);
    w.array(request.devices.len());
    for device in &request.devices {
        encode_device(&mut w, device);
    }
    let body = w.into_bytes();
    let mut file = Writer::with_capacity(body.len().saturating_add(64));
    file.array(3);
    file.text(MAGIC);
    file.bytes(&body);
    file.bytes(&object_id(&body).0);
    file.finish(REQUEST_MAX).map_err(|_| RequestError::TooLarge)
}

fn byte_strings(w: &mut Writer, list: &[Vec<u8>]) {
    w.array(list.len());
    list.iter().for_each(|bytes| w.bytes(bytes));
}

fn encode_device(w: &mut Writer, device: &DeviceEvidence) {
    w.map(5);
    w.uint(1u8);
    w.bytes(&device.device.0);
    w.uint(2u8);
    byte_strings(w, &device.certs);
    w.uint(3u8);
    w.array(device.heads.len());
    for (seq, id) in &device.heads {
        w.array(2);
        w.uint(*seq);
        w.bytes(&id.0);
    }
    w.uint(4u8);
    w.array(device.snaps.len());
    for snap in &device.snaps {
        w.array(2);
        w.bytes(&snap.snap);
        byte_strings(w, &snap.receipts);
    }
    w.uint(5u8);
    w.uint(device.more);
}

fn encode_wanted(wanted: &Wanted) -> Result<Vec<u8>, RequestError> {
    let map = int_map([
        (4, Some(wanted.audience.to_value())),
        (5, Some(wanted.op.number().to_value())),
        (6, Some(wanted.op.to_value())),
        (7, wanted.not_before.map(|t| t.to_value())),
    ]);
    Ok(encode_value(&map)?)
}

fn decode_wanted(bytes: &[u8]) -> Result<Wanted, RecordError> {
    let bounds = Bounds {
        len: RECORD_MAX,
        depth: CBOR_DEPTH_MAX,
    };
    let mut fields = Fields::new(decode_value(bytes, bounds)?)?;
    let wanted = Wanted {
        audience: fields.get(4)?,
        op: Op::from_parts(fields.get(5)?, fields.get(6)?)?,
        not_before: fields.optional(7)?,
    };
    fields.finish()?;
    Ok(wanted)
}

/// Decodes a request. Nothing is verified yet but its checksum, which tells damage, not fraud.
///
/// # Errors
/// [`RequestError`], the first problem found.
pub fn decode(bytes: &[u8]) -> Result<Request, RequestError> {
    if bytes.len() > REQUEST_MAX {
        return Err(RequestError::TooLarge);
    }
    let mut file = Reader::new(bytes);
    let magic = file.array_exact(3).and_then(|()| file.text());
    match magic {
        Ok(MAGIC) => {}
        Ok(other) if other.starts_with(FAMILY) => return Err(RequestError::UnknownVersion),
        _ => return Err(RequestError::NotRequest),
    }
    let body = file.bytes()?;
    let sum: &[u8; 32] = file.bytes_exact()?;
    file.finish()?;
    if object_id(body).0 != *sum {
        return Err(RequestError::Checksum);
    }
    let mut r = Reader::new(body);
    let request = decode_body(&mut r)?;
    r.finish()?;
    check(&request)?;
    Ok(request)
}

fn decode_body(r: &mut Reader<'_>) -> Result<Request, RequestError> {
    let mut keys = r.required_map()?;
    keys.step(r)?;
    let owner = OwnerId(*r.bytes_exact()?);
    keys.step(r)?;
    let created = r.uint()?;
    keys.step(r)?;
    let wanted = list(r, REQUEST_WANTED_MAX, "wanted", |r| {
        decode_wanted(r.bytes()?).map_err(RequestError::Wanted)
    })?;
    keys.step(r)?;
    let orders = envelopes(r, REQUEST_ORDERS_MAX, "orders")?;
    keys.step(r)?;
    let devices = list(r, REQUEST_DEVICES_MAX, "devices", decode_device)?;
    keys.finish(r)?;
    Ok(Request {
        owner,
        created,
        wanted,
        orders,
        devices,
    })
}

fn decode_device(r: &mut Reader<'_>) -> Result<DeviceEvidence, RequestError> {
    let mut keys = r.required_map()?;
    keys.step(r)?;
    let device = NodeId(*r.bytes_exact()?);
    keys.step(r)?;
    let certs = envelopes(r, REQUEST_CERTS_MAX, "certificates")?;
    keys.step(r)?;
    let heads = list(r, REQUEST_HEADS_MAX, "heads", |r| {
        r.array_exact(2)?;
        Ok((r.uint()?, SnapshotId::from(*r.bytes_exact()?)))
    })?;
    keys.step(r)?;
    let snaps = list(r, REQUEST_SNAPS_MAX, "snapshots", |r| {
        r.array_exact(2)?;
        Ok(SnapEvidence {
            snap: r.bytes()?.to_vec(),
            receipts: envelopes(r, REQUEST_RECEIPTS_MAX, "receipts")?,
        })
    })?;
    keys.step(r)?;
    let more = r.uint()?;
    keys.finish(r)?;
    Ok(DeviceEvidence {
        device,
        certs,
        heads,
        snaps,
        more,
    })
}

fn list<'a, T>(
    r: &mut Reader<'a>,
    most: usize,
    name: &'static str,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, RequestError>,
) -> Result<Vec<T>, RequestError> {
    let count = r.array()?;
    if count > most {
        return Err(RequestError::Limit(name));
    }
    (0..count).map(|_| item(r)).collect()
}

fn envelopes(
    r: &mut Reader<'_>,
    most: usize,
    name: &'static str,
) -> Result<Vec<Vec<u8>>, RequestError> {
    list(r, most, name, |r| {
        let bytes = r.bytes()?;
        if bytes.len() > RECORD_MAX {
            return Err(CborError::TooLarge.into());
        }
        Ok(bytes.to_vec())
    })
}

/// Rules beyond the form of single fields, before encoding and after decoding.
fn check(request: &Request) -> Result<(), RequestError> {
    let within = |count: usize, least: usize, most: usize, name| {
        if (least..=most).contains(&count) {
            Ok(())
        } else {
            Err(RequestError::Limit(name))
        }
    };
    within(request.wanted.len(), 1, REQUEST_WANTED_MAX, "wanted")?;
    within(request.orders.len(), 0, REQUEST_ORDERS_MAX, "orders")?;
    within(request.devices.len(), 0, REQUEST_DEVICES_MAX, "devices")?;
    for wanted in &request.wanted {
        check_order(&wanted.order(request.owner, [0; 16], 0)).map_err(RequestError::Wanted)?;
    }
    let mut all = 0usize;
    for device in &request.devices {
        within(device.certs.len(), 1, REQUEST_CERTS_MAX, "certificates")?;
        within(device.heads.len(), 0, REQUEST_HEADS_MAX, "heads")?;
        for snap in &device.snaps {
            within(snap.receipts.len(), 0, REQUEST_RECEIPTS_MAX, "receipts")?;
        }
        all = all.saturating_add(device.snaps.len());
    }
    within(all, 0, REQUEST_SNAPS_MAX, "snapshots")?;
    let mut pairs = request.devices.iter().zip(request.devices.iter().skip(1));
    if pairs.all(|(a, b)| a.device < b.device) {
        Ok(())
    } else {
        Err(RequestError::DeviceOrder)
    }
}
