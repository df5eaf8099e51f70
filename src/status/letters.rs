//! The dead letters that are kept, those of earlier runs included.

use serde::{Deserialize, Serialize};

/// How many there are, and what is in the way of more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Letters {
    /// Letters in the file.
    pub letters: u64,
    /// Those of them that this run has left; none: an older mprun does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_run: Option<u64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// The most that it may have.
    pub max_size: u64,
    /// At `max_size` the oldest are dropped, instead of that items wait.
    pub drops_old: bool,
    /// Letters that were dropped for that, since there were none.
    pub dropped: u64,
    /// Letters of shared queues that lie in the broker, of all machines; none: there are none of this machine, or the broker
    /// has not said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_broker: Option<u64>,
    /// Items of dead workers that wait for their letters to be written, and why.
    pub waiting: Vec<String>,
}

impl Letters {
    /// Whether one more of the usual size finds no room.
    pub(crate) fn is_full(&self) -> bool {
        let usual = self.bytes / self.letters.max(1);
        self.letters > 0 && !self.drops_old && self.bytes + usual > self.max_size
    }

    /// What keeps letters from being written, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let full = self.is_full().then(|| {
            format!(
                "there is no room for more dead letters ({} bytes, [dead_letters] max_size is {}): items that fail for \
                 good wait; `mprun dead retry` or `mprun dead drop` makes room",
                self.bytes, self.max_size
            )
        });
        full.into_iter().chain(self.waiting.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_when_one_more_of_the_usual_size_finds_no_room() {
        let kept = |bytes| Letters { letters: 10, bytes, max_size: 1000, ..Letters::default() };
        assert!(!kept(900).is_full() && kept(910).is_full() && !Letters::default().is_full());
        assert!(!Letters { drops_old: true, ..kept(1000) }.is_full());
        assert!(kept(1000).faults()[0].contains("max_size is 1000"));
    }
}
