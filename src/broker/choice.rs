//! The broker that an address names: whoever asks need not know which one it is. A build without one of them refuses its addresses.

#[cfg(feature = "nats")]
use super::jetstream;
#[cfg(any(feature = "redis", feature = "nats"))]
use super::peer;
#[cfg(feature = "redis")]
use super::redis;
use super::{
    Access, Broker, BrokerKind, Commit, Dropped, Fault, Forgotten, Heard, HeldPipeline, Joined, Judged,
    Layout, Lease, Ledger, Letter, LetterPlace, Member, Membership, Overview, Progress, Registered, Retried,
    RetryRun, RunOrder, Sequence, SharedQueue, SharedStage, Woken,
};
use std::time::Duration;

/// Makes the enum of one thing that every broker has.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $redis:path, $nats:path }) => {
        $(#[$about])*
        pub enum $name {
            #[cfg(feature = "redis")]
            Redis(Box<$redis>),
            #[cfg(feature = "nats")]
            Nats(Box<$nats>),
        }
    };
}

/// Asks the one that it is.
macro_rules! each {
    ($choice:expr, $name:ident, $it:ident => $answer:expr) => {
        match *$choice {
            #[cfg(feature = "redis")]
            $name::Redis(ref $it) => $answer,
            #[cfg(feature = "nats")]
            $name::Nats(ref $it) => $answer,
        }
    };
}

/// Makes it by the address.
macro_rules! open {
    ($access:expr, $redis:expr, $nats:expr) => {
        match BrokerKind::of($access)? {
            #[cfg(feature = "redis")]
            BrokerKind::Redis => peer::or_wrong_peer($access, async { $redis }).await,
            #[cfg(feature = "nats")]
            BrokerKind::Nats => peer::or_wrong_peer($access, async { $nats }).await,
            #[allow(unreachable_patterns, reason = "of builds without all brokers")]
            _ => Err(Fault::Fatal("this mprun was built without this broker".into())),
        }
    };
}

choice! {
    /// A machine's membership of a run.
    AnyBroker { redis::Redis, jetstream::JetStream }
}

choice! {
    /// A connection to the latest run of a pipeline.
    Visitor { redis::Visitor, jetstream::Visitor }
}

choice! {
    /// A connection to a server, whatever it holds.
    Inventory { redis::Inventory, jetstream::Inventory }
}

#[cfg_attr(
    not(any(feature = "redis", feature = "nats")),
    expect(unused_variables, reason = "no broker is built")
)]
impl AnyBroker {
    /// Connects, looks at the broker's settings, and joins the run.
    pub async fn join(access: &Access, layout: &Layout, who: &Membership) -> Result<AnyBroker, Fault> {
        open!(
            access,
            redis::Redis::join(access, layout, who).await.map(|it| AnyBroker::Redis(Box::new(it))),
            jetstream::JetStream::join(access, layout, who).await.map(|it| AnyBroker::Nats(Box::new(it)))
        )
    }

    /// Looks at the broker without joining a run. What its settings don't protect from.
    pub async fn examine(access: &Access, layout: &Layout, allow_loss: bool) -> Result<Vec<String>, Fault> {
        open!(
            access,
            redis::Redis::examine(access, layout, allow_loss).await,
            jetstream::JetStream::examine(access, layout, allow_loss).await
        )
    }
}

#[cfg_attr(
    not(any(feature = "redis", feature = "nats")),
    expect(unused_variables, reason = "no broker is built")
)]
impl Broker for AnyBroker {
    fn joined(&self) -> &Joined {
        each!(self, AnyBroker, it => it.joined())
    }

    async fn take(&self, queue: SharedQueue, n: usize, look_for_expired: bool) -> Result<Vec<Lease>, Fault> {
        each!(self, AnyBroker, it => it.take(queue, n, look_for_expired).await)
    }

    async fn extend(&self, queue: SharedQueue, leases: &[Sequence]) -> Result<Vec<Sequence>, Fault> {
        each!(self, AnyBroker, it => it.extend(queue, leases).await)
    }

    async fn commit(&self, stage: &SharedStage, commits: &[Commit]) -> Result<Judged, Fault> {
        each!(self, AnyBroker, it => it.commit(stage, commits).await)
    }

    async fn give_back(&self, queue: SharedQueue, leases: &[(Sequence, u32)]) -> Result<(), Fault> {
        each!(self, AnyBroker, it => it.give_back(queue, leases).await)
    }

    async fn held(&self, queue: SharedQueue) -> Result<Vec<Sequence>, Fault> {
        each!(self, AnyBroker, it => it.held(queue).await)
    }

    async fn register(&self, queue: SharedQueue, stage: &SharedStage) -> Result<Registered, Fault> {
        each!(self, AnyBroker, it => it.register(queue, stage).await)
    }

    async fn progress(&self, queue: SharedQueue, before: &[SharedQueue]) -> Result<Progress, Fault> {
        each!(self, AnyBroker, it => it.progress(queue, before).await)
    }

    async fn finish(&self) -> Result<bool, Fault> {
        each!(self, AnyBroker, it => it.finish().await)
    }

    async fn claim(&self, stage: &SharedStage) -> Result<Option<Vec<u8>>, Fault> {
        each!(self, AnyBroker, it => it.claim(stage).await)
    }

    async fn resign(&self, stage: &SharedStage) -> Result<(), Fault> {
        each!(self, AnyBroker, it => it.resign(stage).await)
    }

    async fn letters(
        &self,
        queue: SharedQueue,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        each!(self, AnyBroker, it => it.letters(queue, after, n).await)
    }

    async fn ledger(&self, queue: SharedQueue) -> Result<Ledger, Fault> {
        each!(self, AnyBroker, it => it.ledger(queue).await)
    }

    async fn show(&self, snapshot: &[u8], time: Duration) -> Result<(), Fault> {
        each!(self, AnyBroker, it => it.show(snapshot, time).await)
    }

    async fn hear(&self) -> Result<Heard, Fault> {
        each!(self, AnyBroker, it => it.hear().await)
    }

    async fn leave(&self) -> Result<(), Fault> {
        each!(self, AnyBroker, it => it.leave().await)
    }

    async fn woken(&self) -> Woken {
        each!(self, AnyBroker, it => it.woken().await)
    }
}

#[cfg_attr(
    not(any(feature = "redis", feature = "nats")),
    expect(unused_variables, reason = "no broker is built")
)]
impl Visitor {
    /// `None`: the broker holds no run of the pipeline.
    pub async fn open(access: &Access, layout: &Layout) -> Result<Option<Visitor>, Fault> {
        open!(
            access,
            redis::Visitor::open(access, layout)
                .await
                .map(|found| found.map(|it| Visitor::Redis(Box::new(it)))),
            jetstream::Visitor::open(access, layout)
                .await
                .map(|found| found.map(|it| Visitor::Nats(Box::new(it))))
        )
    }

    /// The machines are to show themselves each second, for a while.
    pub async fn watch(&self) -> Result<(), Fault> {
        each!(self, Visitor, it => it.watch().await)
    }

    /// The run at one moment.
    pub async fn overview(&self) -> Result<Overview, Fault> {
        each!(self, Visitor, it => it.overview().await)
    }

    /// All machines that the run has had.
    pub async fn machines(&self) -> Result<Vec<Member>, Fault> {
        each!(self, Visitor, it => it.machines().await)
    }

    /// All machines that are there are told; how many there are.
    pub async fn order(&self, order: RunOrder) -> Result<u64, Fault> {
        each!(self, Visitor, it => it.order(order).await)
    }

    /// A machine that is gone for good is struck off.
    pub async fn forget(&self, machine: &str) -> Result<Forgotten, Fault> {
        each!(self, Visitor, it => it.forget(machine).await)
    }

    /// Where dead letters lie, the earliest run first.
    pub async fn letter_places(&self) -> Result<Vec<LetterPlace>, Fault> {
        each!(self, Visitor, it => it.letter_places().await)
    }

    /// Dead letters of a queue, the oldest first, after `after`.
    pub async fn letters(
        &self,
        place: &LetterPlace,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        each!(self, Visitor, it => it.letters(place, after, n).await)
    }

    /// The letter of that name.
    pub async fn letter(&self, place: &LetterPlace, id: Sequence) -> Result<Option<Letter>, Fault> {
        each!(self, Visitor, it => it.letter(place, id).await)
    }

    /// The run that takes dead letters: the latest. Where that has ended another one is begun, without sources. `sealed`: of each queue,
    /// whether only sources write it.
    pub async fn retry_run(&self, sealed: &[bool]) -> Result<RetryRun, Fault> {
        each!(self, Visitor, it => it.retry_run(sealed).await)
    }

    /// They become items of their queue in that run; what became of each.
    pub async fn retry(
        &self,
        place: &LetterPlace,
        letters: &[Sequence],
        into: u64,
    ) -> Result<Vec<Retried>, Fault> {
        each!(self, Visitor, it => it.retry(place, letters, into).await)
    }

    /// They are dropped for good; how many there were.
    pub async fn discard(&self, place: &LetterPlace, letters: &[Sequence]) -> Result<u64, Fault> {
        each!(self, Visitor, it => it.discard(place, letters).await)
    }
}

#[cfg_attr(
    not(any(feature = "redis", feature = "nats")),
    expect(unused_variables, reason = "no broker is built")
)]
impl Inventory {
    /// Connects.
    pub async fn open(access: &Access) -> Result<Inventory, Fault> {
        open!(
            access,
            redis::Inventory::open(access).await.map(|it| Inventory::Redis(Box::new(it))),
            jetstream::Inventory::open(access).await.map(|it| Inventory::Nats(Box::new(it)))
        )
    }

    /// All pipelines that it holds.
    pub async fn pipelines(&self) -> Result<Vec<HeldPipeline>, Fault> {
        each!(self, Inventory, it => it.pipelines().await)
    }

    /// One of them; `None`: nothing of it is there.
    pub async fn pipeline(&self, prefix: &str, pipeline: &str) -> Result<Option<HeldPipeline>, Fault> {
        each!(self, Inventory, it => it.pipeline(prefix, pipeline).await)
    }

    /// Deletes all of a pipeline. Without `force` not while a machine of it is alive.
    pub async fn drop(&self, held: &HeldPipeline, force: bool) -> Result<Dropped, Fault> {
        each!(self, Inventory, it => it.as_ref().drop(held, force).await)
    }
}
