//! Going on after the friendship has ended.

use super::super::starve::hold;
use super::super::tried::Tried;
use super::crowd::is_alive;
use super::peer::Friend;
use super::scheme::{Played, nothing_held, schemes};

/// Sessions it holds while the friendship ends.
const SESSIONS: usize = 2;
/// Looks at whether they ended, and the pause between two.
const LOOKS: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

schemes! {
    "outlive-friendship", "keep its sessions after the host has ended the friendship, and open new ones", outlive;
}

async fn outlive(friend: &Friend) -> Played {
    let mut talks = Vec::new();
    while talks.len() < SESSIONS {
        match friend.session().await {
            Ok(talk) => talks.push(talk),
            Err(error) => return nothing_held(Err(error)),
        }
    }
    if let Err(error) = hold("end-friendship").await {
        return nothing_held(Err(error));
    }
    let mut alive = talks.len();
    for _ in 0..LOOKS {
        alive = 0;
        for talk in &mut talks {
            if is_alive(talk).await {
                alive = alive.saturating_add(1);
            }
        }
        if alive == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if alive > 0 {
        return nothing_held(Ok(Tried::Worked(format!("{alive} sessions go on"))));
    }
    nothing_held(Ok(match friend.session().await {
        Ok(_) => Tried::Worked("a new session was opened".to_owned()),
        Err(error) => Tried::Refused(format!("its sessions ended; {error}")),
    }))
}
