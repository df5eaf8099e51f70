//! `[control]`: what its keys mean to each other.

use std::path::Path;

use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::At;
use crate::config::keys::ControlKeys;
use crate::config::pipeline::Control;

/// Makes it, with its faults in the report.
pub(super) fn compile(keys: &ControlKeys, folder: &Path, report: &mut Report) -> Control {
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
