//! Plays the schemes one after the other, and waits after each until the drill has looked.

use super::super::run::tell;
use super::super::spec::Attempt;
use super::super::starve::hold;
use super::super::tried::Tried;
use super::peer::Friend;
use super::scheme::{Scheme, Spec};
use super::{bytes, crowd, noise, opens, outlive, serve, work};

/// Name of the family in reports.
const FAMILY: &str = "friend";

/// In this order: what fills the quota comes late, and the friendship is over after the last.
const ALL: &[&[Scheme]] = &[
    opens::SCHEMES,
    crowd::SCHEMES,
    work::SCHEMES,
    noise::SCHEMES,
    serve::SCHEMES,
    bytes::SCHEMES,
    outlive::SCHEMES,
];

/// Plays what the file asks for.
///
/// # Errors
/// When it cannot begin, or the drill is gone.
pub(in crate::attack) async fn run(spec: Spec) -> anyhow::Result<()> {
    let friend = Friend::start(spec).await?;
    for scheme in ALL.iter().flat_map(|some| some.iter()) {
        let wanted = &friend.spec.schemes;
        if !wanted.is_empty() && !wanted.iter().any(|name| name == scheme.name) {
            continue;
        }
        let (outcome, held) = (scheme.run)(&friend).await;
        hold(&format!("look {}", scheme.name))
            .await
            .map_err(|e| anyhow::anyhow!(e))?;
        drop(held);
        let (outcome, refusal) = Tried::told(outcome);
        tell(&Attempt {
            name: scheme.name,
            family: FAMILY,
            host: friend.host.host.to_string(),
            what_was_tried: scheme.what,
            outcome,
            refusal,
        })?;
    }
    friend.net.shutdown().await;
    Ok(())
}
