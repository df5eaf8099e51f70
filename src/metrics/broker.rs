//! What concerns the broker of shared queues.

use super::family::Families;
use crate::status::BrokerStatus;
use std::fmt;

pub(super) fn encode(seen: &BrokerStatus, out: &mut Families<'_, '_>) -> fmt::Result {
    let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    out.gauge(
        "broker_connected",
        "Whether the run of the shared queues is joined and the broker answers",
        [([], i64::from(seen.connected))],
    )?;
    out.gauge(
        "broker_away_seconds",
        "For how long the broker takes nothing of this machine",
        [([], seen.away.unwrap_or(0.0))],
    )?;
    out.gauge(
        "broker_full_seconds",
        "For how long the broker has had no room for what stages have for it",
        [([], seen.full.as_ref().map_or(0.0, |full| full.seconds))],
    )?;
    out.gauge(
        "broker_held_items",
        "Items of shared queues that lie on this machine",
        [([], gauge(seen.held))],
    )?;
    out.gauge(
        "broker_waiting_commits",
        "Commits of this machine that the broker does not have yet",
        [([], gauge(seen.commits))],
    )
}
