//! The service manager: connected at startup, the status line, the exit notification.

use crate::exit;
use crate::numbers::counted;
use crate::queue::{QueueCounts, QueueId};
use crate::service::{Message, NotifySocket, Received};
use crate::supervisor::error::SetUpError;
use log::{Level, log};
use std::collections::BTreeMap;
use std::time::Instant;

/// The manager that started this process. One that can't be reached is warned of, and done without.
pub(super) fn manager() -> NotifySocket {
    NotifySocket::from_environment().unwrap_or_else(|error| {
        log!(target: "mprun", Level::Warn, "the service manager at $NOTIFY_SOCKET can't be reached: {error}");
        NotifySocket::default()
    })
}

/// Warns of descriptors that the manager keeps and no code here knows: another version's, or another pipeline's.
pub(super) fn warn_of_unknown(received: &Received) {
    for fault in received.faults() {
        log!(target: "mprun", Level::Warn, "{fault}");
    }
    for name in received.names() {
        log!(target: "mprun", Level::Warn, "the service manager keeps {name:?}, which is not used here: it stays there");
    }
}

/// The exit notification: a line for people and, if it is not a good end, the code.
pub(super) fn send_exit(manager: &NotifySocket, line: &str, code: u8) {
    let code = (code != exit::DONE).then_some(Message::ExitStatus(code));
    tell(manager, std::iter::once(Message::Status(line.to_owned())).chain(code));
}

/// The exit notification where there was no run at all.
pub(super) fn send_failure(manager: &NotifySocket, error: &SetUpError) {
    let number = match error {
        SetUpError::Queue(fault) => fault.errno(),
        SetUpError::Control(_) | SetUpError::Refused(_) | SetUpError::Missing(_) => None,
        SetUpError::System(_, error) => error.raw_os_error(),
        SetUpError::Start(error) => Some(error.errno as i32),
    };
    tell(manager, number.map(Message::Errno));
    send_exit(manager, &error.to_string(), exit::FAILED);
}

fn tell(manager: &NotifySocket, messages: impl IntoIterator<Item = Message>) {
    let messages: Vec<Message> = messages.into_iter().collect();
    if let Err(error) = manager.send(&messages) {
        log!(target: "mprun", Level::Debug, "the service manager was not told {messages:?}: {error}");
    }
}

/// Queues with a word of their own in the line for the service manager; people see all of them elsewhere.
const MAX_QUEUES_SHOWN: usize = 6;
/// A rate over less says nothing.
const MIN_RATE_SECONDS: f64 = 0.5;

/// The line with the rates: what the queues had done when the last one was sent.
#[derive(Debug, Default)]
pub(super) struct StatusLine {
    at: Option<Instant>,
    done: BTreeMap<QueueId, u64>,
}

impl StatusLine {
    pub(super) fn next(&mut self, head: &str, queues: &[(QueueId, String, QueueCounts)]) -> Message {
        let now = Instant::now();
        let seconds = self.at.map(|at| now.saturating_duration_since(at).as_secs_f64());
        let is_soon = seconds.is_some_and(|seconds| seconds < MIN_RATE_SECONDS);
        let seconds = seconds.filter(|_| !is_soon);
        let rate = |queue, done: u64| {
            let (before, seconds) = self.done.get(queue).copied().zip(seconds)?;
            Some(done.saturating_sub(before) as f64 / seconds)
        };
        let words =
            queues.iter().map(|(queue, name, counts)| word(name, rate(queue, counts.done), counts.waiting));
        let line = line(head, &words.collect::<Vec<_>>());
        if !is_soon {
            let done = queues.iter().map(|(queue, _, counts)| (*queue, counts.done));
            *self = StatusLine { at: Some(now), done: done.collect() };
        }
        Message::Status(line)
    }
}

fn word(name: &str, rate: Option<f64>, waiting: u64) -> String {
    let rate = rate.map(|rate| match rate {
        slow if slow < 10.0 => format!(" {slow:.1}/s"),
        rate => format!(" {rate:.0}/s"),
    });
    format!("{name}{} ({waiting} waiting)", rate.unwrap_or_default())
}

fn line(head: &str, words: &[String]) -> String {
    let rates = words.iter().take(MAX_QUEUES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match words.len() {
        0 => head.to_owned(),
        some if some <= MAX_QUEUES_SHOWN => format!("{head}; {rates}"),
        many => format!("{head}; {rates}, and {}", counted((many - MAX_QUEUES_SHOWN) as u64, "more queue")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_a_rate_for_each_queue_once_there_is_one() {
        assert_eq!(word("lines", None, 0), "lines (0 waiting)");
        let words = [word("lines", Some(1234.4), 7), word("slow", Some(0.2), 0)];
        assert_eq!(line("2 stages", &words), "2 stages; lines 1234/s (7 waiting), slow 0.2/s (0 waiting)");
        assert_eq!(line("1 stage", &[]), "1 stage");
        let many: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        assert_eq!(line("h", &many), "h; 0, 1, 2, 3, 4, 5, and 3 more queues");
    }
}
