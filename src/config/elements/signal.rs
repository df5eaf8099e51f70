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

/// A real-time signal by its distance from the first, such as `RTMIN+3`, which asks systemd to end.
fn real_time(name: &str) -> Option<i32> {
    let distance: i32 = match name.strip_prefix("RTMIN")? {
        "" => 0,
        more => {
            more.strip_prefix('+').filter(|n| n.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?
        }
    };
    let number = libc::SIGRTMIN().checked_add(distance)?;
    (number <= libc::SIGRTMAX()).then_some(number)
}

impl Element for StopSignal {
    type Output = StopSignal;

    fn read(node: &Node, report: &mut Report) -> Option<StopSignal> {
        let Some(text) = node.text() else {
            report.push(wrong_kind::<Self>(node, "a string"));
            return None;
        };
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let usual = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let found = usual.or_else(|| real_time(name)).map(StopSignal);
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
        format!("the name of a signal: {} or \"RTMIN+3\"", names.join(" or "))
    }

    fn schema() -> Value {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        or_variable(
            json!({ "type": "string", "pattern": format!("^(SIG)?({}|RTMIN(\\+[0-9]{{1,2}})?)$", names.join("|")) }),
        )
    }

    fn written(signal: &StopSignal) -> Value {
        let usual = NAMES.iter().find(|(_, number)| *number == signal.0).map(|(name, _)| *name);
        usual.map_or_else(|| format!("RTMIN+{}", signal.0 - libc::SIGRTMIN()), str::to_owned).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_signals_are_counted_from_the_first_and_bounded_by_the_last() {
        for (name, distance) in [("RTMIN", 0), ("RTMIN+0", 0), ("RTMIN+3", 3)] {
            assert_eq!(real_time(name), Some(libc::SIGRTMIN() + distance), "{name}");
        }
        for name in ["RTMIN+", "RTMIN3", "RTMIN+-1", "RTMIN++1", "RTMIN+31", "RTMIN+99999999999", "RTMAX"] {
            assert_eq!(real_time(name), None, "{name}");
        }
        assert_eq!(StopSignal::written(&StopSignal(libc::SIGRTMIN() + 3)), json!("RTMIN+3"));
    }
}
