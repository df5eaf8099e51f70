//! A look at a run from outside: no machine of it, so it may come from anywhere.

use super::answer;
use super::connect;
use super::keys::{Keys, RunKeys};
use super::scripts::Scripts;
use super::types;
use crate::broker::{
    Access, Fault, Forgotten, Layout, Ledger, Member, MemberState, Overview, QueueSettings, QueueView,
    RunOrder, SHOWN_FOR, SILENT_AFTER, SharedStage, Writer, WriterState,
};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, ScriptInvocation, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;

/// For so long a look counts as one that goes on.
const WATCHED_FOR: Duration = Duration::from_secs(5);

/// A connection to the latest run of a pipeline.
pub struct Visitor {
    pub(super) connection: MultiplexedConnection,
    pub(super) scripts: Scripts,
    pub(super) pipeline: Keys,
    /// Of the latest run.
    pub(super) keys: RunKeys,
    pub(super) run: u64,
    pub(super) queues: Vec<QueueSettings>,
}

/// `{counters, settings, leases, writers}` of `see.lua`.
type QueueRow = ([u64; 6], [u64; 5], Vec<Value>, Vec<String>);

impl Visitor {
    /// `None`: the broker holds no run of the pipeline.
    pub async fn open(access: &Access, layout: &Layout) -> Result<Option<Visitor>, Fault> {
        let (sender, _pushed) = unbounded_channel();
        let mut connection = connect::connect(access, sender).await?;
        let pipeline = Keys::new(layout);
        let mut get = redis::cmd("HMGET");
        get.arg(pipeline.pipeline()).arg("run").arg("shape");
        let found: Result<(Option<u64>, Option<String>), RedisError> = get.query_async(&mut connection).await;
        let found = types::named(found.map_err(|error| answer::fault(&error)), &connection, &pipeline).await;
        let (Some(run), Some(shape)) = found? else { return Ok(None) };
        if shape != connect::shape(layout) {
            return Err(Fault::foreign(layout));
        }
        let (keys, queues) = (pipeline.run(run), layout.queues.clone());
        Ok(Some(Visitor { connection, scripts: Scripts::new(), pipeline, keys, run, queues }))
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Fault> {
        let value: Result<Value, RedisError> = script.invoke_async(&mut self.connection.clone()).await;
        answer::parsed(self.answered(value).await?)
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Fault> {
        self.answered(command.query_async(&mut self.connection.clone()).await).await
    }

    pub(super) async fn pipe<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> Result<T, Fault> {
        self.answered(commands.query_async(&mut self.connection.clone()).await).await
    }

    async fn answered<T>(&self, answer: Result<T, RedisError>) -> Result<T, Fault> {
        types::named(answer.map_err(|error| answer::fault(&error)), &self.connection, &self.pipeline).await
    }

    /// The machines are to show themselves each second, for a while.
    pub async fn watch(&self) -> Result<(), Fault> {
        let mut set = redis::cmd("SET");
        set.arg(self.keys.watched()).arg(1).arg("PX").arg(WATCHED_FOR.as_millis() as u64);
        match self.query::<Value>(&set).await {
            // A server whose memory is full is one to look at.
            Err(Fault::Full(_)) => Ok(()),
            result => result.map(drop),
        }
    }

    pub async fn overview(&self) -> Result<Overview, Fault> {
        let mut script = self.scripts.see.prepare_invoke();
        script.key(self.keys.run());
        for queue in self.keys.queues() {
            script.key(&queue.stream).key(&queue.about).key(&queue.letters).key(&queue.writers);
        }
        let (now, begun, ended, rows, works_off): (u64, u64, u64, Vec<QueueRow>, bool) =
            self.ask(&script).await?;
        let machines = self.machines().await?;
        let queues = self.queues.iter().zip(rows).map(|(queue, row)| queue_view(&queue.name, row, now));
        let queues = queues.collect::<Result<_, _>>()?;
        Ok(Overview {
            run: self.run,
            begun,
            ended: (ended > 0).then_some(ended),
            works_off,
            machines,
            queues,
        })
    }

    /// All machines that the run has had.
    pub async fn machines(&self) -> Result<Vec<Member>, Fault> {
        let records: BTreeMap<String, String> =
            self.query(redis::cmd("HGETALL").arg(self.keys.machines())).await?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for machine in records.keys() {
            let seen = self.keys.seen(machine);
            pipe.cmd("GET").arg(&seen).cmd("PTTL").arg(&seen);
        }
        let answers: Vec<Value> = self.pipe(&pipe).await?;
        let mut answers = answers.into_iter();
        let mut members = Vec::new();
        for (machine, record) in records {
            let text: Option<Vec<u8>> = answer::parsed(answers.next().unwrap_or(Value::Nil))?;
            let left_to_live: i64 = answer::parsed(answers.next().unwrap_or(Value::Int(-2)))?;
            members.push(member(machine, &record, text, left_to_live));
        }
        Ok(members)
    }

    /// All machines that are there are told; how many there are.
    pub async fn order(&self, order: RunOrder) -> Result<u64, Fault> {
        let mut script = self.scripts.order.prepare_invoke();
        script.key(self.keys.machines()).key(self.keys.run()).arg(order.name());
        self.ask(&script).await
    }

    /// A machine that is gone for good is struck off.
    pub async fn forget(&self, machine: &str) -> Result<Forgotten, Fault> {
        let mut script = self.scripts.forget.prepare_invoke();
        script.key(self.keys.machines()).key(self.keys.seen(machine)).key(self.keys.claims());
        for queue in self.keys.queues() {
            script.key(&queue.stream).key(&queue.about).key(&queue.writers);
        }
        script.arg(machine).arg(SHOWN_FOR.as_millis() as u64).arg(SILENT_AFTER.as_millis() as u64);
        let words: Vec<Value> = self.ask(&script).await?;
        self.forgotten(words)
    }

    fn forgotten(&self, words: Vec<Value>) -> Result<Forgotten, Fault> {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap_or(Value::Nil);
        match answer::parsed::<String>(next())?.as_str() {
            "unknown" => Ok(Forgotten::Unknown),
            "alive" => Ok(Forgotten::Alive(Duration::from_millis(answer::parsed(next())?))),
            "struck" => {
                let counts: Vec<u64> = answer::parsed(next())?;
                let pairs: Vec<(usize, String)> = answer::parsed(next())?;
                let name = |n: usize| self.queues.get(n).map(|queue| queue.name.clone()).unwrap_or_default();
                let names = self.queues.iter().map(|queue| queue.name.clone());
                let items = names.zip(counts).filter(|(_, count)| *count > 0).collect();
                let writers = pairs.into_iter().map(|(queue, stage)| (name(queue), stage)).collect();
                Ok(Forgotten::Struck { items, writers })
            }
            other => Err(answer::unexpected(&Value::SimpleString(other.into()))),
        }
    }
}

/// The age of a machine's snapshot, from the ms that its key has left to live. `None`: the machine has shown none, or the server's clock has
/// gone back since (the key would live for longer than a snapshot does).
pub(super) fn since_shown(left_to_live: i64) -> Option<Duration> {
    let left_to_live = u64::try_from(left_to_live).ok().map(Duration::from_millis)?;
    SHOWN_FOR.checked_sub(left_to_live).filter(|_| !left_to_live.is_zero())
}

fn member(machine: String, record: &str, text: Option<Vec<u8>>, left_to_live: i64) -> Member {
    let (standing, life) = record.split_once(':').unwrap_or(("", record));
    let shown = text.map(|text| (since_shown(left_to_live).unwrap_or(SHOWN_FOR), text));
    let is_fresh = shown.as_ref().is_some_and(|(age, _)| *age < SILENT_AFTER);
    let state = match standing {
        "left" => MemberState::Left,
        "struck" => MemberState::Struck,
        _ if is_fresh => MemberState::Alive,
        _ => MemberState::Silent,
    };
    Member { machine, life: life.to_owned(), state, shown }
}

fn queue_view(name: &str, row: QueueRow, now: u64) -> Result<QueueView, Fault> {
    let ([put, done, dead, dropped, length, leased], settings, leases, writers) = row;
    let [capacity, sealed, letters, letters_dropped, oldest] = settings;
    let mut by_machine: BTreeMap<String, u64> = BTreeMap::new();
    for pair in leases.chunks(2) {
        let [consumer, count] = pair else { continue };
        let consumer: String = answer::parsed(consumer.clone())?;
        let machine = consumer.split(':').next().unwrap_or_default().to_owned();
        *by_machine.entry(machine).or_default() += answer::parsed::<u64>(count.clone())?;
    }
    Ok(QueueView {
        name: name.to_owned(),
        ledger: Ledger { put, done, dead, dropped, waiting: length.saturating_sub(leased), leased },
        capacity,
        sealed: sealed == 1,
        letters,
        letters_dropped,
        oldest: (oldest > 0).then(|| Duration::from_millis(now.saturating_sub(oldest))),
        leased: by_machine.into_iter().collect(),
        writers: writers.chunks(2).filter_map(writer).collect(),
    })
}

fn writer(pair: &[String]) -> Option<Writer> {
    let [name, state] = pair else { return None };
    let (machine, stage) = SharedStage::of_place(name)?;
    let state = match state.as_str() {
        "ended" => WriterState::Ended,
        "struck" => WriterState::Struck,
        _ => WriterState::Open,
    };
    Some(Writer { machine: machine.to_owned(), stage: stage.to_owned(), state })
}
