//! How many dead letters a look at the broker has found, for those who need to know nothing else of it.

use serde::Deserialize;
use std::time::{Duration, SystemTime};

/// What a look has found.
#[derive(Debug, PartialEq)]
pub(crate) struct LettersSeen {
    /// How long ago.
    pub age: Duration,
    /// Letters of all shared queues; `None`: the broker can't be asked.
    pub letters: Option<u64>,
}

/// The text of a look, as far as it is read here.
#[derive(Deserialize)]
struct Look {
    /// Milliseconds since 1970.
    at: u64,
    #[serde(default)]
    run: Option<Run>,
    #[serde(default)]
    fault: Option<String>,
}

#[derive(Deserialize)]
struct Run {
    queues: Vec<Queue>,
}

#[derive(Deserialize)]
struct Queue {
    letters: u64,
}

impl LettersSeen {
    /// `None`: no look. `now`: by the clock of the process that has looked.
    pub(crate) fn read(text: &[u8], now: SystemTime) -> Option<LettersSeen> {
        let Look { at, run, fault } = serde_json::from_slice(text).ok()?;
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
        let age = now.duration_since(at).unwrap_or_default();
        let queues = run.map(|run| run.queues).unwrap_or_default();
        let letters = fault.is_none().then(|| queues.iter().map(|queue| queue.letters).sum());
        Some(LettersSeen { age, letters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_all_queues_are_counted_and_a_broker_that_does_not_answer_has_said_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3);
        let letters = |text: &str| LettersSeen::read(text.as_bytes(), now).map(|seen| seen.letters);
        let run = r#"{"at":1000,"run":{"broker":"b","queues":[{"name":"a","letters":2},{"name":"b","letters":3}]}}"#;
        let seen = LettersSeen { age: Duration::from_secs(2), letters: Some(5) };
        assert_eq!(LettersSeen::read(run.as_bytes(), now), Some(seen));
        assert_eq!(letters(r#"{"at":1,"run":null}"#), Some(Some(0)));
        assert_eq!(letters(r#"{"at":1,"fault":"redis://db: no answer"}"#), Some(None));
        assert_eq!(letters("{"), None);
    }
}
