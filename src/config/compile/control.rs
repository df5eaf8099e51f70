//! `[control]`: what its keys mean to each other.

use std::net::IpAddr;
use std::path::Path;

use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::At;
use crate::config::keys::{ControlKeys, MetricsKeys};
use crate::config::pipeline::Control;

/// Makes it, with its faults in the report.
pub(super) fn compile(
    keys: &ControlKeys,
    metrics: &MetricsKeys,
    folder: &Path,
    report: &mut Report,
) -> Control {
    check_address(keys, metrics, report);
    check_plain(keys, report);
    check_without_effect(keys, report);
    let path = |text: &String| folder.join(text);
    Control {
        enabled: keys.enabled.value,
        socket: keys.socket.value.as_ref().map(path),
        socket_group: keys.socket_group.value.clone(),
        socket_mode: keys.socket_mode.value,
        listen: keys.listen.value,
        hosts: keys.hosts.value.clone(),
        token_file: keys.token_file.value.as_ref().map(path),
        read_token_file: keys.read_token_file.value.as_ref().map(path),
        allow_plain: keys.allow_plain.value,
    }
}

/// One of the two would wait for ever for what the other has. Port 0 is another one each time.
fn check_address(keys: &ControlKeys, metrics: &MetricsKeys, report: &mut Report) {
    let (Some(page), Some(at)) = (keys.listen.value, &keys.listen.at) else { return };
    let (Some(address), Some(metrics_at)) = (metrics.listen.value, &metrics.listen.at) else { return };
    let is_all = |ip: IpAddr| ip.is_unspecified();
    let overlaps = page.ip() == address.ip() || is_all(page.ip()) || is_all(address.ip());
    if page.port() == 0 || page.port() != address.port() || !overlaps {
        return;
    }
    let fault = Diagnostic::error("`[control] listen` has the address of `[metrics] listen`");
    let fault = fault.at(&at.value).also(&metrics_at.value, "the address of the metrics");
    let help = "give one of them another port, or leave `[metrics]` out: /metrics is served here, too, to clients with a token";
    report.push(fault.help(help));
}

/// What other machines reach is read on the way.
fn check_plain(keys: &ControlKeys, report: &mut Report) {
    let (Some(address), Some(at)) = (keys.listen.value, &keys.listen.at) else { return };
    if address.ip().is_loopback() {
        return;
    }
    let about = "plain HTTP: tokens and items can be read on the way";
    if keys.allow_plain.value {
        let caution = Diagnostic::warning(format!("other machines reach {address}")).at(&at.value);
        report.push(caution.label(about));
        return;
    }
    let fault = Diagnostic::error(format!("other machines reach {address}")).at(&at.value).label(about);
    let help = "listen on 127.0.0.1 behind a proxy with TLS or an SSH tunnel, or set `allow_plain = true`";
    report.push(fault.help(help));
}

fn check_without_effect(keys: &ControlKeys, report: &mut Report) {
    if let (false, Some(at)) = (keys.enabled.value, &keys.listen.at) {
        let fault = Diagnostic::error("`listen` has no effect with `enabled = false`");
        report.push(fault.at(&at.key).help("remove `enabled = false`"));
    }
    if keys.listen.at.is_none() {
        let others: [(&str, &Option<At>); 4] = [
            ("hosts", &keys.hosts.at),
            ("token_file", &keys.token_file.at),
            ("read_token_file", &keys.read_token_file.at),
            ("allow_plain", &keys.allow_plain.at),
        ];
        let set = others.into_iter().filter_map(|(key, at)| Some((key, at.as_ref()?)));
        for (key, at) in set {
            report.push(Diagnostic::warning(format!("`{key}` has no effect without `listen`")).at(&at.key));
        }
    }
    if let (Some(at), 0) = (&keys.socket_group.at, keys.socket_mode.value & 0o060) {
        let caution = Diagnostic::warning("the group gets no access to the socket").at(&at.key);
        report.push(caution.help("add `socket_mode = \"0660\"`"));
    }
}
