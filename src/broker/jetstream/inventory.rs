//! What a server holds of pipelines, and its deletion: the only thing that deletes streams.
//!
//! | killed | what is left |
//! |---|---|
//! | before the request is in the log | all of it |
//! | after it, before its streams are deleted | a stream without a run; the same command deletes it |
//!
//! A log that can't be read (it was purged, another version has written it, the stream has other settings) can't be asked either. Its streams
//! are deleted all the same, unless a connection hears what comes there: each machine has one.

use super::api::{Api, Refusal, ms};
use super::connect;
use super::log::{For, Log};
use super::names::Names;
use super::server;
use super::state::{Answer, Request, Run};
use crate::broker::{Access, Dropped, Fault, HeldPipeline, HeldRun, Layout, SHOWN_FOR, SILENT_AFTER};
use serde_json::{Value, json};
use std::time::Duration;

/// A connection to a server, whatever it holds.
pub struct Inventory {
    api: Api,
    access: Access,
}

/// Enough of one to find its stream.
fn layout(prefix: &str, pipeline: &str) -> Layout {
    Layout {
        prefix: prefix.to_owned(),
        pipeline: pipeline.to_owned(),
        queues: Vec::new(),
        ack_wait: Duration::ZERO,
        max_deliveries: 0,
        replicas: 1,
    }
}

fn held_run(number: u64, run: &Run, now: u64) -> HeldRun {
    let ledgers = run.queues.iter().map(|queue| queue.ledger());
    let is_alive = |machine: &&String| {
        run.shown_before(machine, ms(SHOWN_FOR), now).is_some_and(|age| age < ms(SILENT_AFTER))
    };
    HeldRun {
        number,
        begun: Some(run.begun / 1000),
        ended: run.ended,
        items: ledgers.map(|ledger| ledger.waiting + ledger.leased).sum(),
        letters: run.queues.iter().map(|queue| queue.letters.len() as u64).sum(),
        alive: run.machines.keys().filter(is_alive).count() as u64,
        foreign: Vec::new(),
    }
}

fn held(prefix: &str, pipeline: &str, runs: Result<Vec<HeldRun>, Fault>) -> HeldPipeline {
    let names = Names::new(prefix, pipeline);
    let (runs, fault) = match runs {
        Ok(runs) => (runs, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let keys = vec![names.reserve_stream(), names.stream];
    HeldPipeline { prefix: prefix.to_owned(), pipeline: pipeline.to_owned(), runs, keys, fault }
}

impl Inventory {
    pub async fn open(access: &Access) -> Result<Inventory, Fault> {
        let client = connect::connect(access).await?.client;
        let info = client.server_info();
        server::check_server(&info.version, info.jetstream)?;
        Ok(Inventory { api: Api(client), access: access.clone() })
    }

    async fn streams(&self) -> Result<Vec<String>, Fault> {
        let (mut all, mut offset) = (Vec::new(), 0);
        loop {
            let asked = self.api.call("STREAM.NAMES", &json!({ "offset": offset })).await;
            let answer = asked.map_err(Refusal::fault)?;
            let names = answer.get("streams").and_then(Value::as_array).cloned().unwrap_or_default();
            let total = answer.get("total").and_then(Value::as_u64).unwrap_or(0);
            offset += names.len() as u64;
            all.extend(names.iter().filter_map(Value::as_str).map(str::to_owned));
            if names.is_empty() || offset >= total {
                return Ok(all);
            }
        }
    }

    /// All pipelines of the account.
    pub async fn pipelines(&self) -> Result<Vec<HeldPipeline>, Fault> {
        let mut all = Vec::new();
        for (prefix, pipeline) in self.streams().await?.iter().filter_map(|stream| Names::read(stream)) {
            match self.pipeline(&prefix, &pipeline).await {
                Ok(found) => all.extend(found),
                // One that this user may not see, or whose servers are away: the others are shown.
                Err(fault) => {
                    self.streams().await.map_err(|_| fault.clone())?;
                    all.push(held(&prefix, &pipeline, Err(fault)));
                }
            }
        }
        all.sort_by(|a, b| (&a.prefix, &a.pipeline).cmp(&(&b.prefix, &b.pipeline)));
        Ok(all)
    }

    /// One of them; `None`: nothing of it is there.
    pub async fn pipeline(&self, prefix: &str, pipeline: &str) -> Result<Option<HeldPipeline>, Fault> {
        match self.runs(prefix, pipeline).await {
            Ok(None) => Ok(None),
            Ok(Some(runs)) => Ok(Some(held(prefix, pipeline, Ok(runs)))),
            Err(fault) if self.is_unreadable(prefix, pipeline, &fault).await => {
                Ok(Some(held(prefix, pipeline, Err(fault))))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn runs(&self, prefix: &str, pipeline: &str) -> Result<Option<Vec<HeldRun>>, Fault> {
        let layout = layout(prefix, pipeline);
        let Some(log) = Log::open(&self.access, &layout, For::Visitor).await? else { return Ok(None) };
        log.catch_up().await?;
        let held = |(number, run): (&u64, &Run), now| held_run(*number, run, now);
        log.replica().see(|state, now| Some(state.runs.iter().map(|run| held(run, now)).collect()))
    }

    /// It is what the log holds that is at fault: the server is there and has the stream, and this user may ask.
    async fn is_unreadable(&self, prefix: &str, pipeline: &str, fault: &Fault) -> bool {
        let stream = Names::new(prefix, pipeline).stream;
        !matches!(fault, Fault::Denied(_)) && self.api.info(&stream).await.is_ok()
    }

    /// Connections that hear what comes into the stream. Those of this process have ended, and the server has some time to see that.
    async fn hearers(&self, stream: &str) -> Result<u64, Fault> {
        let mut left = 20;
        loop {
            let list = format!("CONSUMER.LIST.{stream}");
            let answer = self.api.call(&list, &json!({ "offset": 0 })).await.map_err(Refusal::fault)?;
            let all = answer["consumers"].as_array().map_or(&[][..], Vec::as_slice);
            let hearers = all.iter().filter(|one| one["push_bound"] == true).count() as u64;
            if hearers == 0 || left == 0 {
                return Ok(hearers);
            }
            left -= 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the stream's messages so far are on their way to all who read it, for 2 s at most.
    async fn wait_for_hearers(&self, stream: &str, last: u64) {
        let has_heard = |one: &Value| {
            one.pointer("/delivered/stream_seq").and_then(Value::as_u64).is_some_and(|seen| seen >= last)
        };
        for _ in 0..40 {
            let answer = self.api.call(&format!("CONSUMER.LIST.{stream}"), &json!({ "offset": 0 })).await;
            let Ok(answer) = answer else { return };
            if answer["consumers"].as_array().is_none_or(|all| all.iter().all(has_heard)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says it to all machines, as the last that stands in the log. What there is to say instead of a deletion.
    async fn announce_drop(
        &self,
        layout: &Layout,
        names: &Names,
        force: bool,
    ) -> Result<Option<Dropped>, Fault> {
        let Some(log) = Log::open(&self.access, layout, For::Visitor).await? else {
            return Ok(Some(Dropped::Keys(0)));
        };
        let alive_for = (!force).then_some(ms(SILENT_AFTER));
        let request = Request::Drop { shown_for: ms(SHOWN_FOR), alive_for };
        match log.append(&request, &[], None).await.map_err(Refusal::fault)? {
            Answer::Alive(machine) => Ok(Some(Dropped::Alive(machine))),
            Answer::Dropped => {
                let last = log.replica().lock().at;
                self.wait_for_hearers(&names.stream, last).await;
                Ok(None)
            }
            other => Err(other.fault()),
        }
    }

    /// Deletes all of a pipeline. Without `force` not while a machine of it is alive.
    pub async fn drop(&self, held: &HeldPipeline, force: bool) -> Result<Dropped, Fault> {
        let HeldPipeline { prefix, pipeline, .. } = held;
        let names = Names::new(prefix, pipeline);
        match self.announce_drop(&layout(prefix, pipeline), &names, force).await {
            Ok(None) => {}
            Ok(Some(dropped)) => return Ok(dropped),
            // Nothing can be said before: the machines hear it by the stream's end.
            Err(fault) if self.is_unreadable(prefix, pipeline, &fault).await => {
                let hearers = if force { 0 } else { self.hearers(&names.stream).await? };
                if hearers > 0 {
                    return Ok(Dropped::Heard(hearers));
                }
            }
            Err(fault) => return Err(fault),
        }
        for stream in [names.reserve_stream(), names.stream] {
            match self.api.call(&format!("STREAM.DELETE.{stream}"), &Value::Null).await {
                Ok(_) | Err(Refusal::NoStream) => {}
                Err(refusal) => return Err(refusal.fault()),
            }
        }
        Ok(Dropped::Keys(held.keys.len() as u64))
    }
}
