//! Changes of a command.

use super::{KeyChange, ValueChange};
use crate::config::elements::{Compared, Element, Invocation, Part, Word};
use crate::config::env_file::Variables;
use crate::config::keys::StageKeys;
use crate::config::pipeline::{Command, Framing};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

/// Names of changed variables that a plan shows.
const SHOWN_VARIABLES: usize = 5;

/// Notes every key of a command whose value changed.
pub fn compare(old: &Command, new: &Command, keys: &mut Vec<KeyChange>) {
    Invocation::compare("command", &old.invocation, &new.invocation, keys);
    keys.extend(KeyChange::between("mode", &old.mode, &new.mode, |mode| format!("{mode:?}").to_lowercase()));
    Framing::compare("in_framing", &old.in_framing, &new.in_framing, keys);
    Framing::compare("out_framing", &old.out_framing, &new.out_framing, keys);
    keys.extend(env_file((&old.env_file, &old.file_variables), (&new.env_file, &new.file_variables)));
    <StageKeys as Part<Command>>::compare_part("", old, new, keys);
}

type EnvFile<'a> = (&'a Option<PathBuf>, &'a Option<Variables>);

/// The file's name and what it says are one thing to the user. Of variables only the names are told: they may be secrets.
fn env_file(old: EnvFile<'_>, new: EnvFile<'_>) -> Option<KeyChange> {
    let variables =
        |file: EnvFile<'_>| -> BTreeMap<OsString, OsString> { file.1.iter().flatten().cloned().collect() };
    let (before, after) = (variables(old), variables(new));
    let all: BTreeSet<&OsString> = before.keys().chain(after.keys()).collect();
    let mut changed = all.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let mut names: Vec<String> =
        changed.by_ref().take(SHOWN_VARIABLES).map(|name| name.to_string_lossy().into_owned()).collect();
    names.extend(changed.next().map(|_| "…".to_owned()));
    if names.is_empty() {
        names.push("the order of its variables".to_owned());
    }
    let shown = |file: EnvFile<'_>| Option::<Word<PathBuf>>::shown(file.0);
    (old != new).then(|| KeyChange {
        key: "env_file".to_owned(),
        change: ValueChange { old: shown(old), new: shown(new) },
        within: (old.0 == new.0).then(|| names.join(", ")),
    })
}
