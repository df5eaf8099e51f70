//! `ready` and `health`: one way to look, at a service, at times that make sense.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report, list};
use crate::config::elements::{At, show_duration};
use crate::config::keys::{HealthKeys, ReadyKeys};
use crate::config::pipeline::{Check, Health, Probe, Stdout};

/// A way to look, where the table sets it.
type Way<'a> = (&'static str, Option<(&'a At, Probe)>);

pub(super) fn ready(draft: &Draft, report: &mut Report) -> Option<Check> {
    let at = draft.keys.ready.at.as_ref()?;
    let keys = &draft.keys.ready.value;
    let ReadyKeys { command, tcp, http, line, notify, every, timeout, unread: _ } = keys;
    let notifies = notify.value.then_some(Probe::Notify);
    let ways = [
        ("command", command.at.as_ref().zip(command.value.clone().map(Probe::Command))),
        ("tcp", tcp.at.as_ref().zip(tcp.value.clone().map(Probe::Tcp))),
        ("http", http.at.as_ref().zip(http.value.clone().map(Probe::Http))),
        ("line", line.at.as_ref().zip(line.value.clone().map(Probe::Line))),
        ("notify", notify.at.as_ref().zip(notifies)),
    ];
    check_place(draft, "ready", at, report);
    let is_whole = !ways.iter().any(|(name, _)| keys.unread.may_be(name));
    let probe = one_way("ready", &ways, at, is_whole, report)?;
    caution_of_one_for_all(draft, &probe, at, report);
    caution_of_unheard_lines(draft, &probe, at, report);
    let Some(at) = &every.at else {
        // The default is no reason for a fault.
        return Some(Check { probe, every: every.value.min(timeout.value), timeout: timeout.value });
    };
    if !probe.is_tried() {
        let fault = Diagnostic::error("`every` has nothing to repeat here").at(&at.key);
        report.push(fault.help("the service says by itself that it is ready"));
    } else if every.value > timeout.value {
        let [every, timeout] = [every.value, timeout.value].map(show_duration);
        let fault = Diagnostic::error(format!("`every` ({every}) is longer than `timeout` ({timeout})"));
        report.push(fault.at(&at.value).help("`timeout` is for all tries together"));
    }
    Some(Check { probe, every: every.value, timeout: timeout.value })
}

pub(super) fn health(draft: &Draft, report: &mut Report) -> Option<Health> {
    let at = draft.keys.health.at.as_ref()?;
    let keys = &draft.keys.health.value;
    let HealthKeys { command, tcp, http, every, timeout, failures, unread: _ } = keys;
    let ways = [
        ("command", command.at.as_ref().zip(command.value.clone().map(Probe::Command))),
        ("tcp", tcp.at.as_ref().zip(tcp.value.clone().map(Probe::Tcp))),
        ("http", http.at.as_ref().zip(http.value.clone().map(Probe::Http))),
    ];
    check_place(draft, "health", at, report);
    let is_whole = !ways.iter().any(|(name, _)| keys.unread.may_be(name));
    let probe = one_way("health", &ways, at, is_whole, report)?;
    caution_of_one_for_all(draft, &probe, at, report);
    let check = Check { probe, every: every.value, timeout: timeout.value };
    Some(Health { check, failures: failures.value })
}

/// What one of several processes answers is held against all of them.
fn caution_of_one_for_all(draft: &Draft, probe: &Probe, at: &At, report: &mut Report) {
    let (Probe::Tcp(address) | Probe::Http(address)) = probe else { return };
    let processes = draft.keys.processes.value;
    if processes > 1 && !address.contains("{worker}") {
        let title = format!("all {processes} processes of `{}` are checked at one address", draft.name);
        let help = "`{worker}` in it stands for the number of the process, as in \"127.0.0.1:80{worker}\"";
        report.push(Diagnostic::warning(title).at(&at.value).help(help));
    }
}

/// What goes nowhere is not looked at on its way.
fn caution_of_unheard_lines(draft: &Draft, probe: &Probe, at: &At, report: &mut Report) {
    let Some(stdout) = draft.keys.stdout.at.as_ref().filter(|_| draft.keys.stdout.value == Stdout::Null)
    else {
        return;
    };
    if matches!(probe, Probe::Line(_)) {
        let warning = Diagnostic::warning("`line` is looked for on standard error only").at(&at.value);
        report.push(warning.also(&stdout.value, "throws standard output away"));
    }
}

/// Only services are looked at: a stage with items shows by them how it is.
fn check_place(draft: &Draft, key: &str, at: &At, report: &mut Report) {
    let keys = &draft.keys;
    if keys.command.at.is_none() {
        return; // a fault already
    }
    if let Some(items) = keys.input.at.as_ref().or(keys.output.at.as_ref()) {
        let fault = Diagnostic::error(format!("`{key}` goes with a service")).at(&at.key);
        let help = "a service is a program with neither `input` nor `output`";
        return report.push(fault.also(&items.key, "this stage has items").help(help));
    }
    if let Some(schedule) = &keys.schedule.at {
        let fault = Diagnostic::error(format!("`{key}` has no place beside `schedule`")).at(&at.key);
        report.push(fault.also(&schedule.key, "starts runs that end by themselves"));
    }
}

/// `is_whole`: what the table says of its ways could be read.
fn one_way(key: &str, ways: &[Way<'_>], at: &At, is_whole: bool, report: &mut Report) -> Option<Probe> {
    let mut set = ways.iter().filter_map(|(name, way)| Some((*name, way.as_ref()?)));
    let Some((first, (place, probe))) = set.next() else {
        if is_whole {
            let names = list(ways.iter().map(|(name, _)| *name), "and");
            let fault = Diagnostic::error(format!("`{key}` does not say what is looked at")).at(&at.value);
            report.push(fault.accepted(format!("one of {names}")));
        }
        return None;
    };
    for (other, (second, _)) in set {
        let fault = Diagnostic::error(format!("`{key}` has both `{first}` and `{other}`")).at(&second.key);
        report.push(fault.also(&place.key, "one of them is too much"));
    }
    Some(probe.clone())
}
