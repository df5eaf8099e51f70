//! The broker of the shared queues, as one machine sees it.

use crate::numbers::{counted, time};
use serde::{Deserialize, Serialize};

/// What a machine knows of the broker, and what it holds for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BrokerStatus {
    /// The id by which the broker knows this machine.
    pub machine: String,
    /// The run of the shared queues, once it was joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// The run is joined, and the broker answers.
    pub connected: bool,
    /// For how many seconds it can't be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<f64>,
    /// Items of shared queues that lie on this machine.
    pub held: u64,
    /// Commits of this machine that the broker does not have yet.
    pub commits: u64,
}

impl BrokerStatus {
    /// What is to be said where the broker can't be reached.
    pub(crate) fn fault(&self) -> Option<String> {
        let away = self.away?;
        let held = counted(self.held, "item");
        let commits = match self.commits {
            0 => "no commit waits for it".to_owned(),
            1 => "1 commit waits for it".to_owned(),
            many => format!("{many} commits wait for it"),
        };
        Some(format!(
            "the broker can't be reached for {} now: {commits}, {held} of shared queues are here",
            time(away)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_a_fault_that_says_since_when_and_what_waits() {
        let here = BrokerStatus {
            machine: "3f".into(),
            run: Some(1),
            connected: true,
            away: None,
            held: 12,
            commits: 0,
        };
        assert_eq!(here.fault(), None);
        let away = BrokerStatus { connected: false, away: Some(61.0), commits: 3, ..here };
        let expected = "the broker can't be reached for 1m 1s now: 3 commits wait for it, 12 items of shared queues are here";
        assert_eq!(away.fault().unwrap(), expected);
    }
}
