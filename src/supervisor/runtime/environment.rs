//! This process's variables, for a process that it starts.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStringExt;

/// `NAME=value` of each variable whose name is kept.
pub(crate) fn kept(is_kept: impl Fn(&OsStr) -> bool) -> impl Iterator<Item = CString> {
    let kept = std::env::vars_os().filter(move |(name, _)| is_kept(name));
    let entries = kept.map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    entries.filter_map(|entry| CString::new(entry).ok())
}
