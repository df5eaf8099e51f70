//! The queues of the pipeline: declared ones, and those that are only named.

use super::wiring::Wiring;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::{Item, Named};
use crate::config::keys::QueueKeys;
use crate::config::pipeline::{Queue, Sync};

/// Every queue that a stage which is on names, in the order of first mention.
pub fn compile(declared: &Named<QueueKeys>, wiring: &Wiring, report: &mut Report) -> Vec<Queue> {
    declared.all.iter().for_each(|item| check_sync(item, report));
    let sizes: Vec<(u64, u64)> = declared.all.iter().map(|item| sizes(item, report)).collect();
    let in_use = wiring.wires.iter().filter(|wire| wire.first_mention().is_some());
    in_use
        .map(|wire| match declared.all.iter().position(|item| item.name == wire.name) {
            Some(at) => queue(&wire.name, &declared.all[at].keys, sizes[at]),
            None => {
                let keys = QueueKeys::default();
                queue(&wire.name, &keys, (keys.max_bytes.value.0, keys.max_item.value.0))
            }
        })
        .collect()
}

fn queue(name: &str, keys: &QueueKeys, (max_bytes, max_item): (u64, u64)) -> Queue {
    let capacity = keys.capacity.value.0;
    let (when_full, durable) = (keys.when_full.value, keys.durable.value);
    let sync = if durable { keys.sync.value } else { Sync::Never };
    Queue { name: name.to_owned(), capacity, max_bytes, max_item, when_full, durable, sync }
}

fn check_sync(item: &Item<QueueKeys>, report: &mut Report) {
    let QueueKeys { sync, durable, .. } = &item.keys;
    let Some(at) = &sync.at else { return };
    if !durable.value {
        report.push(Diagnostic::warning("`sync` has no effect without `durable = true`").at(&at.key));
    }
}

/// `max_bytes` and `max_item`. An item longer than all the bytes of its queue could never be put: where only one of
/// the two is given, the default of the other gives way.
fn sizes(item: &Item<QueueKeys>, report: &mut Report) -> (u64, u64) {
    let keys = &item.keys;
    let (max_bytes, max_item) = (keys.max_bytes.value.0, keys.max_item.value.0);
    if max_item <= max_bytes {
        return (max_bytes, max_item);
    }
    match (&keys.max_item.at, &keys.max_bytes.at) {
        (Some(one), Some(all)) => {
            report.push(
                Diagnostic::error("an item may be longer than all items together")
                    .at(&one.value)
                    .also(&all.value, "all items together")
                    .help("`max_item` must not be above `max_bytes`"),
            );
            (max_bytes, max_item)
        }
        (Some(_), None) => (max_item, max_item),
        (None, _) => (max_bytes, max_bytes),
    }
}
