//! What a server holds of pipelines, and its deletion: the only thing that deletes streams.
//!
//! | killed | what is left |
//! |---|---|
//! | before the request is in the log | all of it |
//! | after it, before its streams are deleted | a stream without a run; the same command deletes it |

use super::api::{Api, Refusal, ms};
use super::connect;
use super::log::{For, Log};
use super::names::Names;
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
    }
}

impl Inventory {
    pub async fn open(access: &Access) -> Result<Inventory, Fault> {
        let api = Api(connect::connect(access).await?.client);
        Ok(Inventory { api, access: access.clone() })
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
            all.extend(self.pipeline(&prefix, &pipeline).await?);
        }
        all.sort_by(|a, b| (&a.prefix, &a.pipeline).cmp(&(&b.prefix, &b.pipeline)));
        Ok(all)
    }

    /// One of them; `None`: nothing of it is there.
    pub async fn pipeline(&self, prefix: &str, pipeline: &str) -> Result<Option<HeldPipeline>, Fault> {
        let layout = layout(prefix, pipeline);
        let Some(log) = Log::open(&self.access, &layout, For::Visitor).await? else { return Ok(None) };
        log.catch_up().await?;
        let runs = log
            .replica()
            .see(|state, now| state.runs.iter().map(|(number, run)| held_run(*number, run, now)).collect())?;
        let names = Names::new(prefix, pipeline);
        let keys = vec![names.reserve_stream(), names.stream];
        Ok(Some(HeldPipeline { prefix: prefix.to_owned(), pipeline: pipeline.to_owned(), runs, keys }))
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

    /// Deletes all of a pipeline. Without `force` not while a machine of it is alive.
    pub async fn drop(&self, held: &HeldPipeline, force: bool) -> Result<Dropped, Fault> {
        let layout = layout(&held.prefix, &held.pipeline);
        let Some(log) = Log::open(&self.access, &layout, For::Visitor).await? else {
            return Ok(Dropped::Keys(0));
        };
        let alive_for = (!force).then_some(ms(SILENT_AFTER));
        match log.append(&Request::Drop { shown_for: ms(SHOWN_FOR), alive_for }, &[], None).await {
            Ok(Answer::Alive(machine)) => return Ok(Dropped::Alive(machine)),
            // Where the store is full nothing can be said before: the machines hear it by the stream's end.
            Err(Refusal::Full(_)) if force => {}
            Ok(Answer::Dropped) => {}
            Ok(other) => return Err(other.fault()),
            Err(refusal) => return Err(refusal.fault()),
        }
        let names = Names::new(&held.prefix, &held.pipeline);
        let last = log.replica().lock().at;
        self.wait_for_hearers(&names.stream, last).await;
        for stream in [names.reserve_stream(), names.stream] {
            match self.api.call(&format!("STREAM.DELETE.{stream}"), &Value::Null).await {
                Ok(_) | Err(Refusal::NoStream) => {}
                Err(refusal) => return Err(refusal.fault()),
            }
        }
        Ok(Dropped::Keys(held.keys.len() as u64))
    }
}
