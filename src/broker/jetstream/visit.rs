//! A look at a run from outside: no machine of it, so it may come from anywhere.

use super::api::{Api, Refusal, ms};
use super::connect;
use super::log::{For, Log};
use super::names::Names;
use super::server::{self, Settings};
use super::state::{Answer, Machine, Request, Run, Standing, StoredLetter, StoredQueue, Visit};
use super::subjects;
use crate::broker::{
    Access, Fault, Forgotten, Layout, Letter, LetterPlace, Member, MemberState, Overview, QueueSettings,
    QueueView, Retried, RetryRun, RunOrder, SHOWN_FOR, SILENT_AFTER, Sequence, SharedQueue, SharedStage,
    Writer,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

/// For so long a look counts as one that goes on.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// Letters of one request.
const AT_ONCE: usize = 200;

/// A connection to the latest run of a pipeline.
pub struct Visitor {
    log: Log,
    run: u64,
    queues: Vec<QueueSettings>,
}

/// Looks at the server and at what it holds of the pipeline, and changes nothing. What its settings don't protect from.
pub(super) async fn examine(
    access: &Access,
    layout: &Layout,
    allow_loss: bool,
) -> Result<Vec<String>, Fault> {
    let mut connection = connect::connect(access).await?;
    let info = connection.client.server_info();
    server::check_server(&info.version, info.jetstream)?;
    let api = Api(connection.client.clone());
    let warnings = connection.or_end(warnings(&api, layout, allow_loss)).await?;
    // It refuses another shape.
    Visitor::open(access, layout).await.map(|_| warnings)
}

/// An error if the account may not have the streams that would be made.
async fn check_account(api: &Api, names: &Names) -> Result<(), Fault> {
    let info = api.call("INFO", &Value::Null).await.map_err(Refusal::fault)?;
    let most = info.pointer("/limits/max_streams").and_then(Value::as_u64).filter(|most| *most > 0);
    let there = info.get("streams").and_then(Value::as_u64).unwrap_or(0);
    let is_reserve_lacking = api.info(&names.reserve_stream()).await.is_err();
    match most {
        Some(most) if there + 1 + u64::from(is_reserve_lacking) > most => {
            Err(server::limited(&format!("it has {there} of at most {most} streams")))
        }
        _ => Ok(()),
    }
}

/// Of the stream that is there, or would be made.
async fn warnings(api: &Api, layout: &Layout, allow_loss: bool) -> Result<Vec<String>, Fault> {
    let names = Names::new(&layout.prefix, &layout.pipeline);
    let info = match api.info(&names.stream).await {
        Ok(info) => info,
        Err(Refusal::NoStream) => {
            subjects::check(api, &names).await?;
            server::check_replicas(api.0.server_info().cluster.as_deref(), layout.replicas)?;
            check_account(api, &names).await?;
            let wanted = server::wanted(&names.stream, &names.all(), &layout.pipeline, layout.replicas);
            json!({ "config": wanted })
        }
        Err(refusal) => return Err(refusal.fault()),
    };
    Settings::of(&info)?.check(&names.stream, allow_loss)
}

/// Dead letters of a queue, the oldest first, after `after`.
pub(super) async fn letters(
    log: &Log,
    run: u64,
    queue: SharedQueue,
    after: Option<Sequence>,
    n: usize,
) -> Result<Vec<Letter>, Fault> {
    log.catch_up().await?;
    let found: Vec<(Sequence, StoredLetter)> = log.replica().see(|state, _| {
        let letters = state.runs.get(&run).and_then(|run| run.queue(queue)).map(|queue| &queue.letters);
        let from = after.map_or(Unbounded, Excluded);
        let range = letters.into_iter().flat_map(|letters| letters.range((from, Unbounded)));
        range.take(n).map(|(id, letter)| (*id, letter.clone())).collect()
    })?;
    let items: Vec<_> = found.iter().map(|(_, letter)| letter.item).collect();
    let bytes = log.fetch(&items).await?;
    let letter = |((sequence, stored), item): ((Sequence, StoredLetter), Option<Bytes>)| {
        let StoredLetter { cause, attempts, .. } = stored;
        Some(Letter { sequence, item: item?.to_vec(), cause, attempts })
    };
    Ok(found.into_iter().zip(bytes).filter_map(letter).collect())
}

impl Visitor {
    /// `None`: the broker holds no run of the pipeline.
    pub async fn open(access: &Access, layout: &Layout) -> Result<Option<Visitor>, Fault> {
        let Some(log) = Log::open(access, layout, For::Visitor).await? else { return Ok(None) };
        log.catch_up().await?;
        let names: Vec<&String> = layout.queues.iter().map(|queue| &queue.name).collect();
        let found = log.replica().see(|state, _| {
            let (number, run) = state.latest()?;
            Some((number, run.queues.iter().map(|queue| &queue.settings.name).eq(names)))
        })?;
        match found {
            None => Ok(None),
            Some((_, false)) => Err(Fault::foreign(layout)),
            Some((run, true)) => Ok(Some(Visitor { log, run, queues: layout.queues.clone() })),
        }
    }

    async fn ask(&self, run: u64, visit: Visit) -> Result<Answer, Fault> {
        self.log.append(&Request::Visitor { run, visit }, &[], None).await.map_err(Refusal::fault)
    }

    async fn see<T>(&self, look: impl FnOnce(&Run, u64) -> T) -> Result<T, Fault> {
        self.log.catch_up().await?;
        let seen =
            self.log.replica().see(|state, now| state.runs.get(&self.run).map(|run| look(run, now)))?;
        seen.ok_or_else(|| Fault::Away("the broker holds no such run any more".into()))
    }

    /// The machines are to show themselves each second, for a while.
    pub async fn watch(&self) -> Result<(), Fault> {
        let request = Request::Visitor { run: self.run, visit: Visit::Watch { time: ms(WATCHED_FOR) } };
        match self.log.append(&request, &[], None).await {
            // A server whose store is full is one to look at.
            Ok(_) | Err(Refusal::Full(_)) => Ok(()),
            Err(refusal) => Err(refusal.fault()),
        }
    }

    pub async fn overview(&self) -> Result<Overview, Fault> {
        let machines = self.machines().await?;
        self.see(|run, now| {
            let queues = run.queues.iter().map(|queue| queue_view(queue, now)).collect();
            Overview {
                run: self.run,
                begun: run.begun / 1000,
                ended: run.ended,
                works_off: run.works_off,
                machines,
                queues,
            }
        })
        .await
    }

    /// All machines that the run has had.
    pub async fn machines(&self) -> Result<Vec<Member>, Fault> {
        let (now, machines) =
            self.see(|run, now| (now, run.machines.clone().into_iter().collect::<Vec<_>>())).await?;
        let shown = |machine: &Machine| machine.shown.filter(|shown| shown.until > now);
        let texts: Vec<_> =
            machines.iter().filter_map(|(_, machine)| shown(machine)).map(|shown| shown.text).collect();
        let mut texts = self.log.fetch(&texts).await?.into_iter();
        let member = |(name, machine): (String, Machine)| {
            let shown = shown(&machine).and_then(|shown| {
                let left = Duration::from_millis(shown.until - now);
                Some((SHOWN_FOR.saturating_sub(left), texts.next()??.to_vec()))
            });
            member(name, machine, shown)
        };
        Ok(machines.into_iter().map(member).collect())
    }

    /// All machines that are there are told; how many there are.
    pub async fn order(&self, order: RunOrder) -> Result<u64, Fault> {
        match self.ask(self.run, Visit::Order { order }).await? {
            Answer::Ordered(machines) => Ok(machines),
            other => Err(other.fault()),
        }
    }

    /// A machine that is gone for good is struck off.
    pub async fn forget(&self, machine: &str) -> Result<Forgotten, Fault> {
        let (shown_for, silent_after) = (ms(SHOWN_FOR), ms(SILENT_AFTER));
        match self
            .ask(self.run, Visit::Forget { machine: machine.to_owned(), shown_for, silent_after })
            .await?
        {
            Answer::Forgotten(forgotten) => Ok(forgotten),
            other => Err(other.fault()),
        }
    }

    /// A queue of a run, which may have been another file's.
    fn queue_in<'a>(&self, run: &'a Run, name: &str) -> Option<(SharedQueue, &'a StoredQueue)> {
        let place = run.queues.iter().position(|queue| queue.settings.name == name)?;
        Some((SharedQueue(place as u16), &run.queues[place]))
    }

    /// Its place there.
    async fn place_in(&self, place: &LetterPlace) -> Result<Option<SharedQueue>, Fault> {
        self.log.catch_up().await?;
        self.log.replica().see(|state, _| Some(self.queue_in(state.runs.get(&place.run)?, &place.queue)?.0))
    }

    pub async fn letter_places(&self) -> Result<Vec<LetterPlace>, Fault> {
        self.log.catch_up().await?;
        self.log.replica().see(|state, _| {
            let all = state.runs.iter().flat_map(|(&number, run)| {
                let queues = run.queues.iter().filter(|queue| !queue.letters.is_empty());
                queues.map(move |queue| LetterPlace { run: number, queue: queue.settings.name.clone() })
            });
            all.collect()
        })
    }

    /// Dead letters of a queue, the oldest first, after `after`.
    pub async fn letters(
        &self,
        place: &LetterPlace,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        match self.place_in(place).await? {
            Some(queue) => letters(&self.log, place.run, queue, after, n).await,
            None => Ok(Vec::new()),
        }
    }

    /// The letter of that name.
    pub async fn letter(&self, place: &LetterPlace, id: Sequence) -> Result<Option<Letter>, Fault> {
        self.log.catch_up().await?;
        let found = self.log.replica().see(|state, _| {
            self.queue_in(state.runs.get(&place.run)?, &place.queue)?.1.letters.get(&id).cloned()
        })?;
        let Some(StoredLetter { item, cause, attempts }) = found else { return Ok(None) };
        let item = self.log.fetch(&[item]).await?.pop().flatten();
        Ok(item.map(|item| Letter { sequence: id, item: item.to_vec(), cause, attempts }))
    }

    /// See [`crate::broker::Visitor::retry_run`]. One that is killed after it leaves a run without items: the next retry puts its letters
    /// there, and a machine that joins it ends it.
    pub async fn retry_run(&self, sealed: &[bool]) -> Result<RetryRun, Fault> {
        let (queues, sealed) = (self.queues.clone(), sealed.to_vec());
        let request = Request::WorkOff { run: self.run, queues, sealed };
        match self.log.append(&request, &[], None).await.map_err(Refusal::fault)? {
            Answer::RetryRun(number, works_off) => Ok(RetryRun { number, works_off }),
            other => Err(other.fault()),
        }
    }

    /// They become items of their queue in that run; what became of each.
    pub async fn retry(
        &self,
        place: &LetterPlace,
        letters: &[Sequence],
        into: u64,
    ) -> Result<Vec<Retried>, Fault> {
        let target = LetterPlace { run: into, ..place.clone() };
        let (from, to) = (self.place_in(place).await?, self.place_in(&target).await?);
        let (Some(queue), Some(to)) = (from, to) else { return Ok(vec![Retried::Missing; letters.len()]) };
        let mut all = Vec::new();
        for some in letters.chunks(AT_ONCE) {
            let visit = Visit::Retry { queue, letters: some.to_vec(), into: (into, to) };
            match self.ask(place.run, visit).await? {
                Answer::Retried(retried) => all.extend(retried),
                other => return Err(other.fault()),
            }
        }
        Ok(all)
    }

    /// They are dropped for good; how many there were.
    pub async fn discard(&self, place: &LetterPlace, letters: &[Sequence]) -> Result<u64, Fault> {
        let Some(queue) = self.place_in(place).await? else { return Ok(0) };
        let mut dropped = 0;
        for some in letters.chunks(AT_ONCE) {
            match self.ask(place.run, Visit::Discard { queue, letters: some.to_vec() }).await? {
                Answer::Discarded(letters) => dropped += letters,
                other => return Err(other.fault()),
            }
        }
        Ok(dropped)
    }
}

fn member(machine: String, known: Machine, shown: Option<(Duration, Vec<u8>)>) -> Member {
    let is_fresh = shown.as_ref().is_some_and(|(age, _)| *age < SILENT_AFTER);
    let state = match known.standing {
        Standing::Left => MemberState::Left,
        Standing::Struck => MemberState::Struck,
        Standing::Present if is_fresh => MemberState::Alive,
        Standing::Present => MemberState::Silent,
    };
    Member { machine, life: known.life, state, shown }
}

fn queue_view(queue: &StoredQueue, now: u64) -> QueueView {
    let writer = |(place, state): (&String, _)| {
        let (machine, stage) = SharedStage::of_place(place)?;
        Some(Writer { machine: machine.to_owned(), stage: stage.to_owned(), state })
    };
    QueueView {
        name: queue.settings.name.clone(),
        ledger: queue.ledger(),
        capacity: queue.settings.capacity,
        sealed: queue.is_sealed,
        letters: queue.letters.len() as u64,
        letters_dropped: queue.letters_dropped,
        oldest: queue.oldest().map(|put| Duration::from_millis(now.saturating_sub(put))),
        leased: queue.leased().into_iter().collect(),
        writers: queue.writers.iter().filter_map(|(place, state)| writer((place, *state))).collect(),
    }
}
