//! Shared queues in NATS JetStream: one stream a pipeline, which is the log of a state that every machine makes for itself (`state/`).
//!
//! What a machine asks is appended (`log.rs`), and happens at its place in the log, once for all. So nothing hangs on who acknowledges what:
//! a message that comes late or twice is judged by the state, as a script of Redis judges it. Items lie in the messages of the commits
//! that have put them; the state names them by place. `snapshot.rs` bounds the log.

mod api;
mod connect;
mod inventory;
mod log;
mod names;
mod replica;
mod reserve;
mod server;
mod snapshot;
mod state;
mod store;
mod subjects;
mod visit;
mod wire;

use super::{
    Access, Broker, Commit, Fault, Heard, Joined, Judged, Layout, Lease, Ledger, Letter, Membership,
    Progress, Registered, Sequence, SharedQueue, SharedStage, Woken,
};
use crate::model::Machines;
use api::{Refusal, ms};
use bytes::Bytes;
pub use inventory::Inventory;
use log::{For, Log};
use state::{Action, Answer, Fitting, Request, Run, StoredCommit, Who};
use std::collections::BTreeSet;
use std::time::Duration;
pub use visit::Visitor;

/// Bytes of a message beside its items, about.
const REQUEST_BYTES: u64 = 1 << 10;

/// A machine's membership of a run on one connection. A broken connection makes a new one.
pub struct JetStream {
    log: Log,
    layout: Layout,
    who: Who,
    joined: Joined,
}

fn stored(commits: &[Commit]) -> (Vec<StoredCommit>, Vec<u8>) {
    stored_but(commits, &BTreeSet::new())
}

/// `void`: the places of those that can't happen any more.
fn stored_but(commits: &[Commit], void: &BTreeSet<usize>) -> (Vec<StoredCommit>, Vec<u8>) {
    let outputs = commits.iter().flat_map(|commit| &commit.outputs);
    let mut data = Vec::with_capacity(outputs.map(|output| output.item.len()).sum());
    let stored = |(n, commit): (usize, &Commit)| match void.contains(&n) || commit.ends_one_twice() {
        true => StoredCommit::void(commit.number),
        false => StoredCommit::of(commit, &mut data),
    };
    let all = commits.iter().enumerate().map(stored).collect();
    (all, data)
}

impl JetStream {
    /// Connects, looks at the settings of server and stream, and joins the run.
    pub async fn join(access: &Access, layout: &Layout, who: &Membership) -> Result<JetStream, Fault> {
        let what_for = For::Machine { allow_loss: who.allow_loss };
        let log = Log::open(access, layout, what_for).await?;
        let log = log.ok_or_else(|| Fault::Away("its stream is gone".into()))?;
        let mut warnings = log.warnings.clone();
        let me = Who { machine: who.machine.clone(), life: who.life.clone() };
        let request = Request::Join {
            who: me.clone(),
            queues: layout.queues.clone(),
            ack_wait: ms(layout.ack_wait),
            joined: who.joined,
            only: who.only,
            new_run: who.new_run,
        };
        match log.append(&request, &[], None).await.map_err(Refusal::fault)? {
            Answer::Joined { run, begun, ended, is_back, works_off, queues, other } => {
                warnings.extend(layout.differences(&queues));
                warnings.extend(other.map(super::values::unfinished));
                log.replica().belongs_to(run);
                let joined = Joined { run, begun, ended, is_back, works_off, warnings };
                Ok(JetStream { log, layout: layout.clone(), who: me, joined })
            }
            Answer::Differs(queue) => {
                Err(layout.queues.get(usize::from(queue.0)).map_or(Fault::Superseded, Fault::differs))
            }
            Answer::NoRun => Err(Fault::no_run(who)),
            Answer::Foreign => Err(Fault::foreign(layout)),
            Answer::Struck => Err(Fault::struck()),
            other => Err(other.fault()),
        }
    }

    /// Looks at the server without joining a run. What its settings don't protect from.
    pub async fn examine(access: &Access, layout: &Layout, allow_loss: bool) -> Result<Vec<String>, Fault> {
        visit::examine(access, layout, allow_loss).await
    }

    /// Under which name the state keeps what a stage says: its position, and whether it has ended.
    fn place(&self, stage: &SharedStage) -> String {
        stage.place(&self.who.machine, &self.who.life)
    }

    fn request(&self, action: Action) -> Request {
        Request::Machine { run: self.joined.run, who: self.who.clone(), action }
    }

    async fn ask(&self, action: Action) -> Result<Answer, Fault> {
        self.log.append(&self.request(action), &[], None).await.map_err(Refusal::fault)
    }

    /// Looks at the run as it is here.
    fn see<T>(&self, look: impl FnOnce(&Run, u64) -> Option<T>) -> Result<T, Fault> {
        let seen = self
            .log
            .replica()
            .see(|state, now| state.runs.get(&self.joined.run).and_then(|run| look(run, now)))?;
        seen.ok_or(Fault::Superseded)
    }

    async fn ask_commits(
        &self,
        stage: &SharedStage,
        commits: Vec<StoredCommit>,
        data: &[u8],
        is_short: bool,
    ) -> Result<Judged, Refusal> {
        let needs_room = commits.iter().any(StoredCommit::grows);
        let action = Action::Commit { line: stage.name.clone(), place: self.place(stage), commits };
        let answer = match needs_room && !is_short {
            true => self.log.append_if_room(&self.request(action), data).await?,
            false => self.log.append(&self.request(action), data, None).await?,
        };
        match answer {
            Answer::Judged(judged) => Ok(judged),
            other => Err(Refusal::Fault(other.fault())),
        }
    }

    /// Makes the reserve as large as the commits need it.
    async fn reserve(&self, commits: &[StoredCommit]) -> Result<(), Refusal> {
        let longest = commits.iter().map(StoredCommit::output_bytes).max().unwrap_or(0);
        let heavy = commits.iter().map(StoredCommit::weight).sum::<u64>();
        self.log.reserve(heavy, longest).await
    }

    /// As many as there is room for now: one that is sent in vain lies in the log. `spare`: bytes of the reserve for what stages make of
    /// items.
    async fn commit_some(
        &self,
        stage: &SharedStage,
        commits: &[Commit],
        (all, data): (Vec<StoredCommit>, Vec<u8>),
        spare: Option<u64>,
    ) -> Result<Judged, Refusal> {
        let place = self.place(stage);
        let line = state::Line { who: &self.who, name: &stage.name, place: &place };
        let fitting =
            |commits: &[StoredCommit]| self.log.replica().fitting(self.joined.run, line, commits, spare);
        let Fitting { count, void, stopped } = fitting(&all);
        if count == 0 && !all.is_empty() {
            return Ok(stopped);
        }
        let (some, data) = match count == all.len() && void.is_empty() {
            true => (all, data),
            false => stored_but(&commits[..count], &void),
        };
        let mut judged = self.ask_commits(stage, some, &data, spare.is_some()).await?;
        if judged.verdicts.len() == count && count < commits.len() {
            // There may be room for the next one by now.
            let next = fitting(&stored(&commits[count..]).0);
            judged.full = next.stopped.full.filter(|_| next.count == 0);
        }
        Ok(judged)
    }

    async fn commit_if_short(&self, stage: &SharedStage, commits: &[Commit]) -> Result<Judged, Refusal> {
        let grows = commits.iter().any(|commit| !commit.outputs.is_empty());
        let spare = if grows { self.log.spare().await? } else { 0 };
        // A machine that stood still knows nothing of what others did meanwhile: what it would send in vain uses the reserve up.
        self.log.catch_up().await.map_err(Refusal::Fault)?;
        self.commit_some(stage, commits, stored(commits), Some(spare)).await
    }

    async fn leases(&self, taken: Vec<state::Taken>) -> Result<Vec<Lease>, Fault> {
        let items: Vec<_> = taken.iter().map(|taken| taken.item).collect();
        let bytes = self.log.fetch(&items).await?;
        // What nothing holds any more has become another machine's meanwhile, and is done.
        let lease = |(taken, item): (state::Taken, Option<Bytes>)| {
            let state::Taken { sequence, attempts, deliveries, .. } = taken;
            Some(Lease { sequence, item: item?, attempts, deliveries })
        };
        Ok(taken.into_iter().zip(bytes).filter_map(lease).collect())
    }
}

impl Broker for JetStream {
    fn joined(&self) -> &Joined {
        &self.joined
    }

    async fn take(&self, queue: SharedQueue, n: usize, look_for_expired: bool) -> Result<Vec<Lease>, Fault> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let max_deliveries = self.layout.max_deliveries;
        let request =
            self.request(Action::Take { queue, n, looks_for_expired: look_for_expired, max_deliveries });
        match self.log.append(&request, &[], Some((queue, n))).await.map_err(Refusal::fault)? {
            Answer::Taken(taken) => self.leases(taken).await,
            other => Err(other.fault()),
        }
    }

    async fn extend(&self, queue: SharedQueue, leases: &[Sequence]) -> Result<Vec<Sequence>, Fault> {
        match self.ask(Action::Extend { queue, leases: leases.to_vec() }).await? {
            Answer::Lost(lost) => Ok(lost),
            other => Err(other.fault()),
        }
    }

    async fn commit(&self, stage: &SharedStage, commits: &[Commit]) -> Result<Judged, Fault> {
        if !self.log.replica().see(|state, _| state.is_short)? {
            let all = stored(commits);
            self.reserve(&all.0).await.map_err(Refusal::fault)?;
            match self.commit_some(stage, commits, all, None).await {
                Err(Refusal::Full(_)) => {}
                judged => return judged.map_err(Refusal::fault),
            }
        }
        self.commit_if_short(stage, commits).await.map_err(Refusal::fault)
    }

    async fn give_back(&self, queue: SharedQueue, leases: &[(Sequence, u32)]) -> Result<(), Fault> {
        self.ask(Action::GiveBack { queue, leases: leases.to_vec() }).await.map(drop)
    }

    /// The machine has joined on this connection: what it had before is known here.
    async fn held(&self, queue: SharedQueue) -> Result<Vec<Sequence>, Fault> {
        self.see(|run, _| Some(run.queue(queue)?.held(&self.who)))
    }

    async fn register(&self, queue: SharedQueue, stage: &SharedStage) -> Result<Registered, Fault> {
        let place = self.place(stage);
        match self.ask(Action::Register { queue, place }).await? {
            Answer::Registered(registered) => Ok(registered),
            other => Err(other.fault()),
        }
    }

    /// Only what changes the queue goes into the log: this is asked again and again.
    async fn progress(&self, queue: SharedQueue, before: &[SharedQueue]) -> Result<Progress, Fault> {
        self.log.catch_up().await?;
        let (progress, may_end) =
            self.see(|run, _| Some((run.progress(queue)?, run.may_be_sealed(queue, before))))?;
        if !may_end {
            return Ok(progress);
        }
        match self.ask(Action::Seal { queue, before: before.to_vec() }).await? {
            Answer::Progress(progress) => Ok(progress),
            other => Err(other.fault()),
        }
    }

    async fn finish(&self) -> Result<bool, Fault> {
        if !self.see(|run, _| Some(run.may_finish()))? {
            return Ok(false);
        }
        match self.ask(Action::Finish).await? {
            Answer::Finished(has_ended) => Ok(has_ended),
            other => Err(other.fault()),
        }
    }

    async fn claim(&self, stage: &SharedStage) -> Result<Option<Vec<u8>>, Fault> {
        let place = self.place(stage);
        let time = match stage.machines {
            Machines::All => 0,
            Machines::One => ms(self.layout.ack_wait),
        };
        match self.ask(Action::Claim { place, time }).await? {
            Answer::Claimed(position) => Ok(position),
            other => Err(other.fault()),
        }
    }

    async fn resign(&self, stage: &SharedStage) -> Result<(), Fault> {
        self.ask(Action::Resign { place: self.place(stage) }).await.map(drop)
    }

    async fn letters(
        &self,
        queue: SharedQueue,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        visit::letters(&self.log, self.joined.run, queue, after, n).await
    }

    async fn ledger(&self, queue: SharedQueue) -> Result<Ledger, Fault> {
        self.log.catch_up().await?;
        self.see(|run, _| Some(run.queue(queue)?.ledger()))
    }

    /// Where the store is full the reserve has room for it, mostly. Else the text of before stays, and begins anew to live: no machine falls
    /// silent for that.
    async fn show(&self, snapshot: &[u8], time: Duration) -> Result<(), Fault> {
        let time = ms(time);
        let text = Some(state::Span { at: 0, len: snapshot.len() as u32 });
        let show = self.request(Action::Show { text, time });
        let answer = match self.log.append_if_room(&show, snapshot).await {
            Err(Refusal::Full(_)) => {
                let spare = self.log.spare().await.map_err(Refusal::fault)?;
                match spare >= snapshot.len() as u64 + REQUEST_BYTES {
                    true => self.log.append(&show, snapshot, None).await,
                    false => {
                        self.log.append(&self.request(Action::Show { text: None, time }), &[], None).await
                    }
                }
            }
            answer => answer,
        };
        match answer.map_err(Refusal::fault)? {
            Answer::Done => Ok(()),
            other => Err(other.fault()),
        }
    }

    async fn hear(&self) -> Result<Heard, Fault> {
        self.log.catch_up().await?;
        self.see(|run, now| {
            let is_watched = run.watched_until > now;
            let order = run.machines.get(&self.who.machine).and_then(|machine| machine.order);
            run.is_present(&self.who).then_some(Heard { is_watched, order })
        })
    }

    async fn leave(&self) -> Result<(), Fault> {
        self.ask(Action::Leave).await.map(drop)
    }

    async fn woken(&self) -> Woken {
        self.log.replica().woken().await
    }
}
