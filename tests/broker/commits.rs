//! Commits in few words.

use mprun::broker::{
    AnyBroker, Broker, Commit, End, Fault, Judged, Lease, Machines, Output, Sequence, SharedQueue,
    SharedStage, Verdict,
};

pub const A: SharedQueue = SharedQueue(0);
pub const B: SharedQueue = SharedQueue(1);

/// A stage that works on every machine.
pub fn stage(name: &str) -> SharedStage {
    SharedStage { name: name.to_owned(), machines: Machines::All, is_of_life: false }
}

/// A stage that works on one machine at a time.
pub fn alone(name: &str) -> SharedStage {
    SharedStage { machines: Machines::One, ..stage(name) }
}

pub fn output(queue: SharedQueue, item: &str) -> Output {
    Output { queue, item: item.to_owned().into() }
}

pub fn end(queue: SharedQueue, sequence: Sequence) -> End {
    End { queue, sequence, dead: None }
}

/// Commit `number` of a source: these items into A.
pub fn emits(number: u64, items: &[&str]) -> Commit {
    Commit { number, outputs: items.iter().map(|item| output(A, item)).collect(), ..Commit::default() }
}

/// Commit `number` of a stage: the item of A is done, and comes out in B.
pub fn passes(number: u64, lease: &Lease) -> Commit {
    let item = String::from_utf8(lease.item.to_vec()).unwrap();
    Commit {
        number,
        ends: vec![end(A, lease.sequence)],
        outputs: vec![output(B, &item)],
        ..Commit::default()
    }
}

pub async fn commit(broker: &AnyBroker, line: &str, commits: &[Commit]) -> Result<Judged, Fault> {
    broker.commit(&stage(line), commits).await
}

pub async fn verdicts(broker: &AnyBroker, line: &str, commits: &[Commit]) -> Vec<Verdict> {
    broker.commit(&stage(line), commits).await.unwrap().verdicts
}

pub async fn items(broker: &AnyBroker, queue: SharedQueue) -> Vec<String> {
    let leases = broker.take(queue, 100, true).await.unwrap();
    leases.into_iter().map(|lease| String::from_utf8(lease.item.to_vec()).unwrap()).collect()
}
