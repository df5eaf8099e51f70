//! Signals, by their names.

use serde_json::{Value, json};

use super::{Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::{Report, nearest, quote};
use crate::config::document::Node;
use crate::config::pipeline::StopSignal;

/// Signals that ask a program to end, or that some programs take for that.
const NAMES: [(&str, i32); 9] = [
    ("TERM", libc::SIGTERM),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("HUP", libc::SIGHUP),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("WINCH", libc::SIGWINCH),
    ("ABRT", libc::SIGABRT),
    ("KILL", libc::SIGKILL),
];

impl Element for StopSignal {
    type Output = StopSignal;

    fn read(node: &Node, report: &mut Report) -> Option<StopSignal> {
        let Some(text) = node.text() else {
            report.push(wrong_kind::<Self>(node, "a string"));
            return None;
        };
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| StopSignal(*number));
        if found.is_none() {
            let near = nearest(name, NAMES.iter().map(|(name, _)| *name)).map(|near| format!("\"{near}\""));
            report.push(
                reject::<Self>(node, format!("{} is no signal for this", quote(text))).did_you_mean(near),
            );
        }
        found
    }

    fn accepted() -> String {
        let names: Vec<String> = NAMES.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("the name of a signal: {}", names.join(" or "))
    }

    fn schema() -> Value {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        or_variable(json!({ "type": "string", "pattern": format!("^(SIG)?({})$", names.join("|")) }))
    }

    fn written(signal: &StopSignal) -> Value {
        NAMES.iter().find(|(_, number)| *number == signal.0).map_or("", |(name, _)| name).into()
    }
}
