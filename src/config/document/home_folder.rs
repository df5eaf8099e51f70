//! `~/` at the beginning of a path: only a shell makes a home folder of it.

use super::{Content, Node, Table};
use crate::config::diagnostic::{Diagnostic, Report, quote};

/// Keys whose texts are paths, or words that are handed over as they are; those of `include` are checked before they are looked for.
const OF_PATHS: [&str; 8] =
    ["path", "cwd", "env_file", "log_file", "socket", "token_file", "read_token_file", "credentials_file"];

/// Reports what would be looked for in a folder whose name is `~`.
pub(in crate::config) fn check(table: &Table, report: &mut Report) {
    for entry in &table.entries {
        match &entry.value.content {
            Content::Table(within) => check(within, report),
            Content::Text { .. } if OF_PATHS.contains(&entry.key.as_str()) => {
                check_text(&entry.value, report)
            }
            Content::List(nodes) if OF_PATHS.contains(&entry.key.as_str()) => {
                nodes.iter().for_each(|node| check_text(node, report));
            }
            Content::List(nodes) if entry.key == "command" => {
                nodes.iter().take(1).for_each(|node| check_text(node, report));
            }
            _ => {}
        }
    }
}

fn check_text(node: &Node, report: &mut Report) {
    fault(node).into_iter().for_each(|fault| report.push(fault));
}

/// The fault of a text that begins so.
pub(in crate::config) fn fault(node: &Node) -> Option<Diagnostic> {
    let rest = node.text()?.strip_prefix("~/")?;
    let meant = quote(&format!("${{HOME}}/{rest}"));
    let fault = Diagnostic::error("`~` is a name like any other here, not the home folder").at(&node.span);
    Some(fault.did_you_mean(Some(meant)))
}
