//! The queues of the pipeline: declared ones, and those that are only named.

use super::wiring::Wiring;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::{Named, Part};
use crate::config::keys::QueueKeys;
use crate::config::pipeline::{Queue, Sync};

/// Every queue that a stage which is on names, in the order of first mention.
pub(super) fn compile(declared: &mut Named<QueueKeys>, wiring: &Wiring, report: &mut Report) -> Vec<Queue> {
    for item in &mut declared.all {
        check_sync(&item.keys, report);
        settle_sizes(&mut item.keys, report);
    }
    let in_use = wiring.wires.iter().filter(|wire| wire.first_mention().is_some());
    in_use
        .map(|wire| match declared.all.iter().find(|item| item.name == wire.name) {
            Some(item) => queue(&wire.name, &item.keys),
            None => queue(&wire.name, &QueueKeys::default()),
        })
        .collect()
}

fn queue(name: &str, keys: &QueueKeys) -> Queue {
    let durable = keys.durable.value;
    let sync = if durable { keys.sync.value } else { Sync::Never };
    Queue { name: name.to_owned(), limits: keys.part(), durable, sync, shared: keys.shared.value }
}

fn check_sync(keys: &QueueKeys, report: &mut Report) {
    if let (Some(at), false) = (&keys.sync.at, keys.durable.value) {
        report.push(Diagnostic::warning("`sync` has no effect without `durable = true`").at(&at.key));
    }
}

/// An item longer than all the bytes of its queue could never be put: where only one of the two is given, it holds for
/// the other as well.
fn settle_sizes(keys: &mut QueueKeys, report: &mut Report) {
    let QueueKeys { max_bytes, max_item, .. } = keys;
    if max_item.value <= max_bytes.value {
        return;
    }
    match (&max_item.at, &max_bytes.at) {
        (Some(one), Some(all)) => report.push(
            Diagnostic::error("an item may be longer than all items together")
                .at(&one.value)
                .also(&all.value, "all items together")
                .help("`max_item` must not be above `max_bytes`"),
        ),
        (Some(_), None) => max_bytes.value = max_item.value,
        (None, _) => max_item.value = max_bytes.value,
    }
}
