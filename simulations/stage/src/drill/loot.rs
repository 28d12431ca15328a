//! Records the attacker has seen go by, or found on the disk.

use packnback_cli::parts::{Bundle, Outcome, system};
use packnback_proto::ids::NodeId;
use packnback_proto::limits::GRANT_LIFETIME_MAX_S;
use packnback_proto::record::{Grant, Record, Scope, Signed, decode_record};
use serde_json::{Value, json};

use super::scene::{Scene, failed};

const HOUR_S: u64 = 3600;

fn captured(what: &str, envelope: &[u8]) -> Value {
    json!({ "what": what, "envelope": data_encoding::HEXLOWER.encode(envelope) })
}

/// Everything, as the attacker reads it.
pub(super) fn collect(scene: &Scene) -> Outcome<Vec<Value>> {
    let desk = Bundle::load(&scene.desk.folders()?)?;
    let mut all = vec![
        captured("old-cert", &scene.old_cert),
        captured("other-cert", desk.cert.envelope()),
        captured("old-policy", &scene.old_policy),
        captured("cancelled-delete", &scene.cancelled),
    ];
    for record in scene.desk.client()?.all_records(None, false)? {
        if let Ok(Record::Snap(snap)) = decode_record(&record)
            && snap.value().device == desk.device()
        {
            all.push(captured("other-snap", &record));
        }
    }
    grants(scene, desk.device(), &mut all)?;
    Ok(all)
}

/// Grants of the owner that went by once, and are worth nothing to this attacker.
fn grants(scene: &Scene, desk: NodeId, all: &mut Vec<Value>) -> Outcome<()> {
    let laptop = Scene::host_id(scene.laptop()?)?;
    let now = system::now();
    let sign = |reader, host: Option<NodeId>, not_before: u64, expires: u64| {
        let grant = Grant {
            owner: scene.seed.owner_id(),
            reader,
            scope: Scope::All,
            not_before,
            expires,
            audience: host.map(|host| vec![host]),
            nonce: system::random()?,
            max_bytes: None,
        };
        let signed = Signed::sign(&grant, &scene.seed.sign_key());
        signed.map_err(|e| failed(format!("cannot sign a grant: {e}")))
    };
    let (before, after) = (
        now.saturating_sub(HOUR_S),
        now.saturating_add(GRANT_LIFETIME_MAX_S / 2),
    );
    let long_ago = before.saturating_sub(HOUR_S);
    let expired = sign(laptop, None, long_ago, before)?;
    all.push(captured("grant-expired", expired.envelope()));
    let other = sign(desk, None, before, after)?;
    all.push(captured("grant-other-reader", other.envelope()));
    let elsewhere = sign(laptop, Some(desk), before, after)?;
    all.push(captured("grant-other-host", elsewhere.envelope()));
    for host in scene.hosts() {
        let earlier = sign(laptop, Some(Scene::host_id(host)?), before, after)?;
        all.push(captured("grant-other-conversation", earlier.envelope()));
    }
    Ok(())
}
