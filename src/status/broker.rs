//! The broker of the shared queues, as one machine sees it.

use crate::model::Outage;
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
    /// For how many seconds it takes nothing of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<f64>,
    /// Why; none: it can't be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// It answers, and has no room for what stages have for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<BrokerFull>,
    /// Items of shared queues that lie on this machine.
    pub held: u64,
    /// Commits of this machine that the broker does not have yet.
    pub commits: u64,
}

/// A broker whose memory or store is full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BrokerFull {
    /// Its address, without what is secret.
    pub broker: String,
    /// The setting of the server that says how much it holds.
    pub limit: String,
    /// For how many seconds.
    pub seconds: f64,
    /// The stages whose commits wait.
    pub stages: Vec<String>,
    /// Those of which it has taken nothing for a minute.
    pub stuck: Vec<String>,
}

impl BrokerFull {
    pub(crate) fn says(&self) -> String {
        let BrokerFull { broker, limit, seconds, stages, stuck } = self;
        let nothing = match stuck.is_empty() {
            true => String::new(),
            false => format!(", and has taken nothing of {} for a minute", stuck.join(", ")),
        };
        format!(
            "the broker {broker} is full for {} now{nothing}: what {} has for it waits; let machines take items out of its queues, \
             or raise `{limit}`",
            time(*seconds),
            stages.join(", "),
        )
    }
}

impl BrokerStatus {
    /// What is to be said of it: [`BrokerStatus::fault`], or that it is full while commits go through now and then.
    pub(crate) fn note(&self) -> Option<String> {
        self.fault().or_else(|| self.full.as_ref().map(BrokerFull::says))
    }

    /// What is to be said where it takes nothing of this machine, or of a stage here. One that is full is as good as any full queue,
    /// as long as something goes through.
    pub(crate) fn fault(&self) -> Option<String> {
        let stuck = self.full.as_ref().filter(|full| !full.stuck.is_empty()).map(BrokerFull::says);
        self.outage_fault().or(stuck)
    }

    fn outage_fault(&self) -> Option<String> {
        let away = self.away?;
        let how = match self.outage.unwrap_or_default() {
            Outage::Unreachable => "the broker can't be reached",
            Outage::Full => "the broker is full, and takes nothing of this machine",
            Outage::Denied => "the broker refuses the user or the password of this machine",
            Outage::Unfit => "the broker is unfit (the log says why)",
        };
        let held = counted(self.held, "item");
        let commits = match self.commits {
            0 => "no commit waits for it".to_owned(),
            1 => "1 commit waits for it".to_owned(),
            many => format!("{many} commits wait for it"),
        };
        Some(format!("{how} for {} now: {commits}, {held} of shared queues are here", time(away)))
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
            outage: None,
            full: None,
            held: 12,
            commits: 0,
        };
        assert_eq!(here.fault(), None);
        let away = BrokerStatus { connected: false, away: Some(61.0), commits: 3, ..here };
        let expected = "the broker can't be reached for 1m 1s now: 3 commits wait for it, 12 items of shared queues are here";
        assert_eq!(away.fault().unwrap(), expected);
        let refused = BrokerStatus { outage: Some(Outage::Denied), ..away };
        assert!(
            refused
                .fault()
                .unwrap()
                .starts_with("the broker refuses the user or the password of this machine for 1m 1s now: 3")
        );
    }

    #[test]
    fn a_full_broker_is_a_fault_once_nothing_goes_through() {
        let full = BrokerFull {
            broker: "redis://db".into(),
            limit: "maxmemory".into(),
            seconds: 61.0,
            stages: vec!["read".into()],
            stuck: Vec::new(),
        };
        let seen = |full| BrokerStatus {
            machine: "3f".into(),
            run: Some(1),
            connected: true,
            away: None,
            outage: None,
            full: Some(full),
            held: 0,
            commits: 3,
        };
        let short = seen(full.clone());
        let expected = "the broker redis://db is full for 1m 1s now: what read has for it waits; let machines take items out of its \
                        queues, or raise `maxmemory`";
        assert_eq!((short.fault(), short.note().unwrap()), (None, expected.to_owned()));
        let stuck = seen(BrokerFull { stuck: vec!["read".into()], ..full });
        assert!(stuck.fault().unwrap().contains("and has taken nothing of read for a minute"));
    }
}
