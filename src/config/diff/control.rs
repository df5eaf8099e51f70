//! What changed in `[control]`.

use super::KeyChange;
use crate::config::elements::{Address, Compared, Element, HostNames, SocketMode, Word};
use crate::config::pipeline::Control;
use std::path::PathBuf;

/// The keys that can change while clients are there; `None`: the socket itself is another, or gone.
pub(super) fn compare(old: &Control, new: &Control) -> Option<Vec<KeyChange>> {
    let Control {
        enabled,
        socket,
        socket_group,
        socket_mode,
        listen,
        hosts,
        token_file,
        read_token_file,
        allow_plain,
    } = old;
    if *enabled != new.enabled || *socket != new.socket {
        return None;
    }
    let mut keys = Vec::new();
    <Option<Word>>::compare("socket_group", socket_group, &new.socket_group, &mut keys);
    SocketMode::compare("socket_mode", socket_mode, &new.socket_mode, &mut keys);
    <Option<Address>>::compare("listen", listen, &new.listen, &mut keys);
    let names = |names: &Vec<String>| HostNames::shown(names);
    keys.extend(KeyChange::between("hosts", hosts, &new.hosts, names));
    <Option<Word<PathBuf>>>::compare("token_file", token_file, &new.token_file, &mut keys);
    <Option<Word<PathBuf>>>::compare("read_token_file", read_token_file, &new.read_token_file, &mut keys);
    bool::compare("allow_plain", allow_plain, &new.allow_plain, &mut keys);
    Some(keys)
}
