//! `order list`: where orders stand.

use packnback_proto::record::{Order, Signed, decode_order};
use packnback_proto::wire::admin::{OrderInfo, OrderState};
use serde_json::{Value, json};

use super::super::Context;
use super::what::{audience_text, op_json, op_text};
use crate::exit::{Exit, Outcome};
use crate::render;

/// Runs the command.
///
/// # Errors
/// When the node cannot be asked.
pub(super) fn run(context: &Context) -> Outcome {
    context.home.check_user()?;
    let client = context.node()?;
    let mut orders = client.orders()?;
    orders.sort_by_key(|info| std::cmp::Reverse((info.received, info.id)));
    context
        .voice
        .result(&json!({ "orders": orders.iter().map(order_json).collect::<Vec<_>>() }))?;
    if orders.is_empty() {
        context.voice.say("No orders.")?;
        return Ok(Exit::Done);
    }
    context.voice.say(&table(&orders))?;
    if orders.iter().any(|info| info.state == OrderState::Waiting) {
        context.voice.say(
            "\nOrders that wait can be taken back: packnback order cancel ID (the owner signs that too).",
        )?;
    }
    Ok(Exit::Done)
}

/// The order in it. The node checked it; one that does not decode is of a later version.
fn decoded(info: &OrderInfo) -> Option<Signed<Order>> {
    decode_order(&info.envelope).ok()
}

fn table(orders: &[OrderInfo]) -> String {
    let head = [
        "id",
        "received",
        "state",
        "takes effect",
        "snapshots",
        "on",
        "what",
    ];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for info in orders {
        let what = decoded(info).map_or_else(
            || "an order of a later version".to_owned(),
            |order| {
                let order = order.value();
                format!(
                    "{}, {}",
                    op_text(&order.op),
                    audience_text(order.audience.as_deref())
                )
            },
        );
        let note = match info.state {
            OrderState::Refused if !info.note.is_empty() => {
                format!(" [{}]", render::path(info.note.as_bytes()))
            }
            _ => String::new(),
        };
        rows.push(vec![
            info.id.short(),
            render::time(info.received),
            info.state.as_str().to_owned(),
            info.due.map_or_else(|| "-".into(), render::time),
            info.snaps.to_string(),
            render::counted(
                u64::try_from(info.told.len()).unwrap_or(u64::MAX),
                "friend",
                "friends",
            ),
            format!("{what}{note}"),
        ]);
    }
    render::table(&rows, &[4])
}

fn order_json(info: &OrderInfo) -> Value {
    let order = decoded(info);
    json!({
        "id": info.id.to_string(),
        "oid": data_encoding::HEXLOWER.encode(&info.oid.0),
        "order": order.as_ref().map(|order| op_json(&order.value().op)),
        "issued": order.as_ref().map(|order| render::time_utc(order.value().issued)),
        "hosts": order.as_ref().and_then(|order| order.value().audience.as_ref().map(|hosts| {
            hosts.iter().map(ToString::to_string).collect::<Vec<_>>()
        })),
        "received": render::time_utc(info.received),
        "state": info.state.as_str(),
        "due": info.due.map(render::time_utc),
        "snapshots": info.snaps,
        "note": info.note,
        "told": info.told.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Orders that wait, for `status`: when each takes effect and how to take it back.
#[must_use]
pub fn waiting_lines(orders: &[OrderInfo]) -> Vec<String> {
    let waiting = orders
        .iter()
        .filter(|info| info.state == OrderState::Waiting);
    waiting
        .map(|info| {
            let what = decoded(info).map_or_else(
                || "an order of a later version".to_owned(),
                |order| op_text(&order.value().op),
            );
            let due = info
                .due
                .map_or_else(|| "later".to_owned(), |due| format!("on {}", render::time(due)));
            let id = info.id.short();
            format!("Order {id} takes effect {due}: {what}. To take it back: packnback order cancel {id}")
        })
        .collect()
}
