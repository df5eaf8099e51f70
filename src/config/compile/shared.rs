//! Queues in a broker: what a file may ask of them, and of the stages at their ends.

use super::draft::Off;
use super::wiring::{End, Wire, Wiring};
use crate::broker::{BrokerKind, QueueSettings};
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::{At, Item, Named, Part, Setting};
use crate::config::keys::{BrokerKeys, BrokerText, QueueKeys};
use crate::config::pipeline::{Broker, BrokerAccess, WhenFull};
use std::path::Path;

/// The key `broker` and the tables of the queues.
pub(super) struct Declared<'a> {
    pub broker: &'a Setting<Option<BrokerText>>,
    /// `broker` could not be read.
    pub is_lost: bool,
    pub queues: &'a Named<QueueKeys>,
    /// Where the paths of `[broker]` start.
    pub folder: &'a Path,
}

impl Declared<'_> {
    fn queue(&self, name: &str) -> Option<&Item<QueueKeys>> {
        self.queues.all.iter().find(|item| item.name == name)
    }

    pub(super) fn is_shared(&self, name: &str) -> bool {
        self.queue(name).is_some_and(|item| item.keys.shared.value)
    }

    pub(super) fn is_lossy(&self, name: &str) -> bool {
        self.queue(name).is_some_and(|item| item.keys.lossy.value)
    }
}

/// Reports what can't be; the broker, if the file names one.
pub(super) fn compile(declared: &Declared<'_>, wiring: &Wiring, report: &mut Report) -> Option<Broker> {
    for item in &declared.queues.all {
        check_queue(item, report);
    }
    for wire in &wiring.wires {
        check_writers_of_a_local_queue(wire, declared, wiring, report);
    }
    check_broker(declared, report);
    check_kept_queues(declared, report);
    let keys = declared.broker.value.as_ref()?;
    let url = keys.url.value.clone()?;
    let mut access: BrokerAccess = keys.part();
    for file in [&mut access.credentials_file, &mut access.tls_ca].into_iter().flatten() {
        *file = declared.folder.join(&file);
    }
    let queues = shared_queues(declared, wiring);
    let before = queues.iter().map(|queue| queues_before(&queue.name, &queues, wiring)).collect();
    Some(Broker { url, access, queues, before })
}

/// By name, so that the order of a file's tables means nothing to the machines.
fn shared_queues(declared: &Declared<'_>, wiring: &Wiring) -> Vec<QueueSettings> {
    let is_somewhere = |end: &End| end.off != Some(Off::Disabled);
    let is_used = |wire: &&Wire| wire.readers.iter().chain(&wire.writers).any(is_somewhere);
    let mut queues: Vec<QueueSettings> = wiring
        .wires
        .iter()
        .filter(is_used)
        .filter_map(|wire| declared.queue(&wire.name).filter(|item| item.keys.shared.value))
        .map(|Item { name, keys, .. }| QueueSettings {
            name: name.clone(),
            capacity: keys.capacity.value,
            when_full: keys.when_full.value,
        })
        .collect();
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    queues
}

/// The shared queues that are read by stages which write this one, wherever they run.
fn queues_before(name: &str, queues: &[QueueSettings], wiring: &Wiring) -> Vec<u16> {
    let is_somewhere = |end: &&End| end.off != Some(Off::Disabled);
    let ends = |name: &str| wiring.get(name);
    let writers: Vec<usize> = ends(name)
        .into_iter()
        .flat_map(|wire| &wire.writers)
        .filter(is_somewhere)
        .map(|end| end.stage)
        .collect();
    let is_before = |queue: &QueueSettings| {
        let mut readers = ends(&queue.name).into_iter().flat_map(|wire| &wire.readers);
        readers.any(|end| writers.contains(&end.stage))
    };
    (0_u16..).zip(queues).filter(|(_, queue)| is_before(queue)).map(|(place, _)| place).collect()
}

fn check_queue(item: &Item<QueueKeys>, report: &mut Report) {
    let QueueKeys { shared, durable, lossy, when_full, .. } = &item.keys;
    let name = &item.name;
    if !shared.value {
        return;
    }
    if let (WhenFull::DropOld, Some(at)) = (when_full.value, &when_full.at) {
        let fault =
            Diagnostic::error(format!("`{name}` is shared: its oldest item may be at work on any machine"));
        report.push(fault.at(&at.value).help("use when_full = \"block\" or \"drop-new\""));
    }
    if let (true, Some(at)) = (durable.value, &durable.at) {
        let fault = Diagnostic::error(format!("`{name}` is shared: the broker keeps its items")).at(&at.key);
        report.push(fault.help("leave `durable` out; what a power cut may cost is the broker's setting"));
    }
    if let (true, Some(at)) = (lossy.value, &lossy.at) {
        let fault = Diagnostic::error(format!("`{name}` is shared: no item of it gets lost")).at(&at.key);
        report.push(fault.help("`lossy` is for a queue of one machine behind a shared one: leave it out"));
    }
}

fn check_longest_item(item: &Item<QueueKeys>, most: Option<u64>, report: &mut Report) {
    let QueueKeys { shared, max_item, .. } = &item.keys;
    if let (true, Some(at), Some(most)) = (shared.value, &max_item.at, most)
        && max_item.value > most
    {
        let title = format!("`{}` is shared, and Redis takes no item that long", item.name);
        let help = format!("write at most \"{}MiB\"", most >> 20);
        report.push(Diagnostic::error(title).at(&at.value).help(help));
    }
}

/// What a stage writes for an item of a shared queue has to be in the broker when the item leaves it.
fn check_writers_of_a_local_queue(
    wire: &Wire,
    declared: &Declared<'_>,
    wiring: &Wiring,
    report: &mut Report,
) {
    let name = &wire.name;
    if declared.is_shared(name) {
        return;
    }
    let on = wire.writers.iter().filter(|writer| writer.off.is_none());
    let behind = on.filter_map(|writer| Some((writer, shared_input(writer, declared, wiring)?)));
    let mut behind = behind.peekable();
    let lossy = declared.queue(name).and_then(|item| item.keys.lossy.at.as_ref());
    if declared.is_lossy(name) {
        if let (None, Some(at)) = (behind.peek(), lossy) {
            let caution = Diagnostic::warning("`lossy` has no effect here").at(&at.key);
            report.push(caution.help(format!("no stage that reads a shared queue writes `{name}`")));
        }
        return;
    }
    for (writer, input) in behind {
        let stage = &writer.stage_name;
        let title = format!(
            "`{stage}` reads the shared queue `{}` and writes `{name}`, which is not shared",
            input.0
        );
        let fault = Diagnostic::error(title).at(&writer.span).also(&input.1.span, "read here");
        let fault = fault.label("what is in it dies with its machine");
        report.push(fault.help(format!(
            "write `shared = true` into `[queues.{name}]`, or `lossy = true` if its items may get lost and come twice when a \
             machine dies"
        )));
    }
}

fn shared_input<'a>(writer: &End, declared: &Declared<'_>, wiring: &'a Wiring) -> Option<(&'a str, &'a End)> {
    let shared = wiring.wires.iter().filter(|wire| declared.is_shared(&wire.name));
    let mut ends = shared.flat_map(|wire| wire.readers.iter().map(|end| (wire.name.as_str(), end)));
    ends.find(|(_, end)| end.stage == writer.stage)
}

fn check_broker(declared: &Declared<'_>, report: &mut Report) {
    let Declared { broker, is_lost, queues, .. } = declared;
    let mut shared = queues.all.iter().filter_map(|item| {
        let at = item.keys.shared.at.as_ref().filter(|_| item.keys.shared.value)?;
        Some((&item.name, at))
    });
    let Some(keys) = &broker.value else {
        if let (Some((name, at)), false) = (shared.next(), is_lost) {
            let fault =
                Diagnostic::error(format!("`{name}` is shared, and the file names no broker")).at(&at.value);
            let help = "write `broker = \"redis://HOST:6379\"` at the top of the file";
            report.push(fault.label("with whom?").help(help));
        }
        return;
    };
    let Some(at) = &broker.at else { return };
    check_address(keys, at, report);
    let most = keys.url.value.as_ref().and_then(|url| url.kind().most_item());
    queues.all.iter().for_each(|item| check_longest_item(item, most, report));
    if shared.next().is_none() && queues.lost.is_empty() {
        let caution = Diagnostic::warning("`broker` has no effect here: no queue is shared").at(&at.key);
        report.push(caution.help("write `shared = true` into `[queues.NAME]`"));
    }
}

/// Commits of queues that were saved a while ago would have numbers that the broker has seen.
fn check_kept_queues(declared: &Declared<'_>, report: &mut Report) {
    let mut shared = declared.queues.all.iter().filter(|item| item.keys.shared.value);
    let Some(other) = shared.next().and_then(|item| item.keys.shared.at.as_ref()) else { return };
    for item in declared.queues.all.iter().filter(|item| item.keys.durable.value && !item.keys.shared.value) {
        if let Some(at) = &item.keys.durable.at {
            let fault = Diagnostic::error("`durable` does not go with shared queues yet").at(&at.key);
            report.push(fault.also(&other.value, "shared").help("leave one of the two out"));
        }
    }
}

fn check_address(keys: &BrokerKeys, at: &At, report: &mut Report) {
    let Some(url) = &keys.url.value else {
        if !keys.unread.may_be("url") {
            let fault = Diagnostic::error("`broker` has no `url`").at(&at.key);
            report.push(fault.help("such as `url = \"redis://10.0.0.5:6379\"`"));
        }
        return;
    };
    if !url.kind().is_built() {
        let fault = Diagnostic::error("this mprun was built without this broker").at(&at.key);
        let feature = url.kind().feature();
        report.push(fault.help(format!("build it with the feature `{feature}`, which is on by default")));
    }
    let written = keys.url.at.as_ref().map(|at| &at.value);
    if let (Some(file), Some(address), true) = (&keys.credentials_file.at, written, url.has_password()) {
        let fault = Diagnostic::error("the password stands in the address and in a file").at(&file.key);
        report.push(fault.also(address, "the address").help("one of them is too much"));
    }
    if let (Some(ca), Some(address), false) = (&keys.tls_ca.at, written, url.is_encrypted()) {
        let fault =
            Diagnostic::error("`tls_ca` goes with an address that begins with `rediss://` or `tls://`")
                .at(&ca.key);
        report.push(fault.also(address, "the address"));
    }
    if let (Some(replicas), Some(address), BrokerKind::Redis) =
        (&keys.stream_replicas.at, written, url.kind())
    {
        let fault = Diagnostic::error("`stream_replicas` goes with an address of NATS").at(&replicas.key);
        report.push(
            fault.also(address, "the address").help("leave it out: Redis copies to its replicas by itself"),
        );
    }
}
