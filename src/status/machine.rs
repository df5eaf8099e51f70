//! What a machine shows of itself to the others that run the pipeline: no process, no word of a program, no setting.

use super::{BrokerFull, BrokerStatus, Cpus, Fate, Phase, QueueStatus, Rate, Snapshot, StageStatus, Times};
use crate::model::Totals;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Its text in the broker is no longer.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// A machine that runs the pipeline, or a part of it. Its text lies in the broker, where other versions read it: fields may be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineStatus {
    /// The name of its host, for people.
    pub host: String,
    pub version: String,
    pub phase: Phase,
    pub paused: bool,
    /// Seconds since its run of the pipeline was started.
    pub uptime: f64,
    /// Items of shared queues that lie there.
    pub held: u64,
    /// Its commits that the broker does not have yet.
    pub commits: u64,
    /// The broker has no room for what its stages have for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<BrokerFull>,
    /// Dead letters of its own queues.
    #[serde(default)]
    pub dead_letters: u64,
    /// What its CPUs did lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    pub stages: Vec<MachineStage>,
    /// The queues that it shares with no other.
    #[serde(default)]
    pub queues: Vec<MachineQueue>,
    /// Stages that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A stage on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineStage {
    pub name: String,
    #[serde(default)]
    pub inputs: Vec<String>,
    #[serde(default)]
    pub outputs: Vec<String>,
    #[serde(default)]
    pub is_command: bool,
    pub processes: u32,
    pub running: u32,
    pub paused: bool,
    pub fate: Fate,
    /// How it is, in a word.
    pub state: String,
    pub totals: Totals,
    pub rate: Rate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// It runs at its times (`schedule`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scheduled: bool,
    /// How its workers spent the time over which the rate was measured.
    pub recent: Times,
    pub restarts: u64,
}

/// A queue of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineQueue {
    pub name: String,
    pub capacity: u64,
    pub waiting: u64,
    pub leased: u64,
}

impl MachineStatus {
    /// Of a snapshot whose rates were measured. `recent`: how each stage spent the time.
    pub(crate) fn of(
        snapshot: &Snapshot,
        host: String,
        shared: &[String],
        (mut recent, cpus): (BTreeMap<String, Times>, Option<Cpus>),
    ) -> MachineStatus {
        let (held, commits) =
            snapshot.broker.as_ref().map_or((0, 0), |BrokerStatus { held, commits, .. }| (*held, *commits));
        let stage =
            |stage: &StageStatus| MachineStage::of(stage, recent.remove(&stage.name).unwrap_or_default());
        let own = snapshot.queues.iter().filter(|queue| !shared.contains(&queue.name));
        MachineStatus {
            host,
            version: snapshot.version.clone(),
            phase: snapshot.phase,
            paused: snapshot.paused,
            uptime: snapshot.uptime,
            held,
            commits,
            full: snapshot.broker.as_ref().and_then(|broker| broker.full.clone()),
            dead_letters: own.clone().map(|queue| queue.dead).sum(),
            cpus,
            stages: snapshot.stages.iter().map(stage).collect(),
            queues: own.map(MachineQueue::of).collect(),
            left_out: 0,
        }
    }

    /// As it lies in the broker: what does not fit is left out, from the end.
    ///
    /// # Errors
    /// Never: the types are plain.
    pub(crate) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        let mut shown = self.clone();
        while text.len() > MAX_BYTES && !(shown.stages.is_empty() && shown.queues.is_empty()) {
            shown.queues.truncate(shown.queues.len() / 2);
            let kept = shown.stages.len() / 2;
            shown.left_out += shown.stages.len() - kept;
            shown.stages.truncate(kept);
            text = serde_json::to_vec(&shown)?;
        }
        Ok(text)
    }
}

impl MachineStage {
    fn of(stage: &StageStatus, recent: Times) -> MachineStage {
        MachineStage {
            name: stage.name.clone(),
            inputs: stage.inputs.clone(),
            outputs: stage.outputs.clone(),
            is_command: stage.is_command,
            processes: stage.processes,
            running: stage.running,
            paused: stage.paused,
            fate: stage.fate,
            state: stage.state().to_owned(),
            totals: stage.totals,
            rate: stage.rate,
            rate_limit: stage.rate_limit.clone(),
            scheduled: stage.scheduled,
            recent,
            restarts: stage.restarts(),
        }
    }
}

impl MachineQueue {
    fn of(queue: &QueueStatus) -> MachineQueue {
        let QueueStatus { capacity, waiting, delayed, leased, .. } = *queue;
        MachineQueue { name: queue.name.clone(), capacity, waiting: waiting + delayed, leased }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::{queue, snapshot, stage};

    fn shown(stages: usize) -> MachineStatus {
        let stages = (0..stages).map(|n| stage(&format!("s{n}"), "jobs", "own", [0.5, 0.5, 0.0])).collect();
        let broker = BrokerStatus {
            machine: "3f".into(),
            run: Some(1),
            connected: true,
            away: None,
            outage: None,
            full: None,
            held: 12,
            commits: 3,
        };
        let queues = vec![queue("jobs", 3), queue("own", 4)];
        let seen = Snapshot { stages, queues, broker: Some(broker), ..snapshot() };
        let recent = BTreeMap::from([("s0".to_owned(), Times { working: 1.5, ..Times::default() })]);
        let cpus = Some(Cpus { count: 2, idle: 0.5 });
        MachineStatus::of(&seen, "web1".into(), &["jobs".to_owned()], (recent, cpus))
    }

    /// Machines of other versions read it.
    #[test]
    fn the_text_is_golden() {
        let golden = concat!(
            r#"{"host":"web1","version":"0.1.0","phase":"running","paused":false,"uptime":10.0,"held":12,"commits":3,"#,
            r#""dead_letters":1,"cpus":{"count":2,"idle":0.5},"stages":[{"name":"s0","inputs":["jobs"],"outputs":["own"],"#,
            r#""is_command":false,"processes":1,"running":1,"paused":false,"fate":"wanted","state":"running","totals":"#,
            r#"{"taken":100,"done":99,"emitted":50,"dead":0,"too_long":0,"repeated":0,"perhaps_lost":0},"rate":{"taken":10.0,"done":9.9,"#,
            r#""emitted":5.0,"over":10.0},"recent":{"working":1.5,"starved":0.0,"blocked":0.0,"paused":0.0,"for_turn":0.0},"#,
            r#""restarts":0}],"queues":[{"name":"own","capacity":10,"waiting":4,"leased":1}]}"#
        );
        let text = shown(1).encode().unwrap();
        assert_eq!(String::from_utf8_lossy(&text), golden);
        assert_eq!(serde_json::from_slice::<MachineStatus>(&text).unwrap(), shown(1));
    }

    #[test]
    fn it_is_never_longer_than_it_may_be() {
        let text = shown(5000).encode().unwrap();
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let read: MachineStatus = serde_json::from_slice(&text).unwrap();
        assert!(read.left_out > 4000 && read.left_out + read.stages.len() == 5000, "{}", read.left_out);
    }
}
