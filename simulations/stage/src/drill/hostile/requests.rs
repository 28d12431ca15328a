//! Request files that lie to whoever signs them: the friend gone bad made them of what it stores, without any key.

use std::fs;

use packnback_cli::parts::{Failure, Outcome, system};
use packnback_proto::ids::NodeId;
use packnback_proto::record::{Cert, Op, Order, Record, Signed, Snap, decode_record};
use packnback_proto::request::{DeviceEvidence, Request, SnapEvidence, Wanted, encode};

use super::super::safe::{Check, check};
use super::super::scene::{failed, shown};
use super::after::records_at_host;
use super::scene::Scene;
use crate::staging::World;

/// What the host stores of Ann.
struct Stored {
    device: NodeId,
    certs: Vec<Signed<Cert>>,
    snaps: Vec<Signed<Snap>>,
}

/// A request file.
struct File {
    what: &'static str,
    ops: Vec<Op>,
    /// Orders it shows.
    orders: Vec<Vec<u8>>,
}

/// Each file, and whether Ann's key signed anything of it, though all was confirmed in advance.
pub(super) fn all(world: &World, scene: &Scene) -> Outcome<Vec<Check>> {
    let stored = stored(scene)?;
    let revoke = order(
        scene,
        Op::Revoke {
            device: stored.device,
            reason: "stolen".to_owned(),
        },
    )?;
    let oid = revoke.value().oid;
    let everything = Op::DeleteRange {
        device: stored.device,
        recv_from: 0,
        recv_to: u64::MAX,
        max_count: u64::MAX,
    };
    let newest = stored
        .snaps
        .last()
        .map(|snap| vec![snap.id()])
        .unwrap_or_default();
    let file = |what, ops| File {
        what,
        ops,
        orders: Vec::new(),
    };
    let files = [
        file(
            "a range over all times, with the receipts left out",
            vec![everything],
        ),
        file(
            "an order taken back that is not shown",
            vec![Op::Cancel(vec![[7; 16]])],
        ),
        File {
            what: "a revocation taken back",
            ops: vec![Op::Cancel(vec![oid])],
            orders: vec![revoke.envelope().to_vec()],
        },
        file(
            "one snapshot ended by two orders",
            vec![Op::DeleteIds(newest.clone()), Op::DeleteIds(newest.clone())],
        ),
        file(
            "everything dropped, beside a harmless hold",
            vec![Op::Hold(newest), Op::DropOwner],
        ),
    ];
    let mut checks = Vec::new();
    for (number, file) in files.into_iter().enumerate() {
        let what = file.what;
        let request = request(scene, &stored, file);
        checks.push(sign(world, scene, number, what, &request)?);
    }
    Ok(checks)
}

fn stored(scene: &Scene) -> Outcome<Stored> {
    let (mut certs, mut snaps) = (Vec::new(), Vec::new());
    for bytes in records_at_host(scene)? {
        match decode_record(&bytes) {
            Ok(Record::Cert(cert)) => certs.push(cert),
            Ok(Record::Snap(snap)) => snaps.push(snap),
            _ => {}
        }
    }
    snaps.sort_by_key(|snap| snap.value().seq);
    let newest = snaps
        .last()
        .ok_or_else(|| failed("the host lists no snapshot"))?;
    let device = newest.value().device;
    certs.retain(|cert| cert.value().device == device);
    Ok(Stored {
        device,
        certs,
        snaps,
    })
}

fn order(scene: &Scene, op: Op) -> Outcome<Signed<Order>> {
    let order = Wanted::any_host(op).order(scene.seed.owner_id(), system::random()?, system::now());
    Signed::sign(&order, &scene.seed.sign_key()).map_err(|e| failed(format!("cannot sign: {e}")))
}

fn request(scene: &Scene, stored: &Stored, file: File) -> Request {
    let evidence = |snap: &Signed<Snap>| SnapEvidence {
        snap: snap.envelope().to_vec(),
        receipts: Vec::new(),
    };
    let newest = stored.snaps.last();
    let heads = newest.map(|snap| (snap.value().seq, snap.id()));
    Request {
        owner: scene.seed.owner_id(),
        created: system::now(),
        wanted: file.ops.into_iter().map(Wanted::any_host).collect(),
        orders: file.orders,
        devices: vec![DeviceEvidence {
            device: stored.device,
            certs: stored
                .certs
                .iter()
                .map(|cert| cert.envelope().to_vec())
                .collect(),
            heads: heads.into_iter().collect(),
            snaps: stored.snaps.iter().map(evidence).collect(),
            more: 0,
        }],
    }
}

fn sign(
    world: &World,
    scene: &Scene,
    number: usize,
    what: &str,
    request: &Request,
) -> Outcome<Check> {
    let said = format!("a request for {what} is not signed, though -y is given");
    // What cannot even be written down cannot be asked for.
    let bytes = match encode(request) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(check(said, true, format!("it is no request: {error}"))),
    };
    let file = world.folder().join(format!("request-{number}"));
    fs::write(&file, bytes).map_err(|e| Failure::file("write", &file, &e))?;
    let out = world.folder().join(format!("signed-{number}"));
    let (key, request, signed) = (shown(&scene.key_file), shown(&file), shown(&out));
    let words = [
        "order",
        "sign",
        &request,
        "--owner-key",
        &key,
        "-y",
        "--out",
        &signed,
    ];
    let ran = world.run(&scene.paper, &words)?;
    Ok(check(
        said,
        !ran.status.success() && !out.exists(),
        format!("order sign ended with {}", ran.status),
    ))
}
