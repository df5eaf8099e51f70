//! What a server holds of pipelines, and its deletion: the only thing that deletes streams.
//!
//! | killed | what is left |
//! |---|---|
//! | before the script of a deletion | all of it |
//! | after it | nothing, but for keys that were made while the server was looked through; the same command finds these |

use super::answer;
use super::connect;
use super::scripts::Scripts;
use super::visit::since_shown;
use crate::broker::{Access, Dropped, Fault, HeldPipeline, HeldRun, SHOWN_FOR, SILENT_AFTER};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Value};
use std::collections::BTreeMap;
use tokio::sync::mpsc::unbounded_channel;

/// Keys that the server looks at in one step.
const SCANNED_AT_ONCE: usize = 1000;

/// A connection to a server, whatever it holds.
pub struct Inventory {
    connection: MultiplexedConnection,
    scripts: Scripts,
}

impl Inventory {
    pub async fn open(access: &Access) -> Result<Inventory, Fault> {
        let (sender, _pushed) = unbounded_channel();
        let connection = connect::connect(access, sender).await?;
        Ok(Inventory { connection, scripts: Scripts::new() })
    }

    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Fault> {
        command.query_async(&mut self.connection.clone()).await.map_err(|error| answer::fault(&error))
    }

    /// All pipelines of the server's database.
    pub async fn pipelines(&self) -> Result<Vec<HeldPipeline>, Fault> {
        let mut by_base: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in self.scan("{*}:*").await? {
            if let Some((base, _)) = key.split_once("}:") {
                by_base.entry(base[1..].to_owned()).or_default().push(key);
            }
        }
        let mut all = Vec::new();
        for (base, keys) in by_base {
            // Anything may be called like that.
            let Some((prefix, pipeline)) = base.rsplit_once('/') else { continue };
            if keys.contains(&format!("{{{base}}}:pipeline")) {
                all.push(self.held(prefix, pipeline, keys).await?);
            }
        }
        Ok(all)
    }

    /// One of them; `None`: nothing of it is there.
    pub async fn pipeline(&self, prefix: &str, pipeline: &str) -> Result<Option<HeldPipeline>, Fault> {
        let keys = self.keys(prefix, pipeline).await?;
        match keys.is_empty() {
            true => Ok(None),
            false => self.held(prefix, pipeline, keys).await.map(Some),
        }
    }

    async fn keys(&self, prefix: &str, pipeline: &str) -> Result<Vec<String>, Fault> {
        let base = format!("{{{prefix}/{pipeline}}}:");
        let keys = self.scan(&format!("{}*", escaped(&base))).await?;
        Ok(keys.into_iter().filter(|key| key.starts_with(&base)).collect())
    }

    async fn scan(&self, pattern: &str) -> Result<Vec<String>, Fault> {
        let (mut cursor, mut all) = (0_u64, Vec::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED_AT_ONCE);
            let (next, keys): (u64, Vec<Vec<u8>>) = self.query(&scan).await?;
            all.extend(keys.into_iter().filter_map(|key| String::from_utf8(key).ok()));
            cursor = next;
            if cursor == 0 {
                all.sort_unstable();
                all.dedup();
                return Ok(all);
            }
        }
    }

    async fn held(&self, prefix: &str, pipeline: &str, keys: Vec<String>) -> Result<HeldPipeline, Fault> {
        let base = format!("{{{prefix}/{pipeline}}}:");
        let mut runs: BTreeMap<u64, HeldRun> = BTreeMap::new();
        for key in &keys {
            let Some((number, what)) = key[base.len()..].split_once(':') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            let run = runs.entry(number).or_insert_with(|| HeldRun { number, ..HeldRun::default() });
            match self.look_at(key, what, run).await {
                Err(fault) if fault == answer::other_type() => run.foreign.push(key.clone()),
                looked => looked?,
            }
        }
        let runs = runs.into_values().collect();
        Ok(HeldPipeline { prefix: prefix.to_owned(), pipeline: pipeline.to_owned(), runs, keys, fault: None })
    }

    async fn look_at(&self, key: &str, what: &str, run: &mut HeldRun) -> Result<(), Fault> {
        let is_queue = what.strip_prefix("q:").is_some_and(|name| !name.contains(':'));
        if is_queue {
            run.items += self.query::<u64>(redis::cmd("XLEN").arg(key)).await?;
        } else if what.starts_with("q:") && what.ends_with(":letters") {
            run.letters += self.query::<u64>(redis::cmd("XLEN").arg(key)).await?;
        } else if what == "run" {
            let mut get = redis::cmd("HMGET");
            (run.begun, run.ended) = self.query(get.arg(key).arg("begun").arg("ended")).await?;
            run.begun = run.begun.map(|ms| ms / 1000);
        } else if what == "machines" {
            let records: BTreeMap<String, String> = self.query(redis::cmd("HGETALL").arg(key)).await?;
            for (machine, _) in records.iter().filter(|(_, record)| !record.contains(':')) {
                let seen = format!("{}seen:{machine}", key.trim_end_matches("machines"));
                let left_to_live: i64 = self.query(redis::cmd("PTTL").arg(seen)).await?;
                run.alive += u64::from(since_shown(left_to_live).is_some_and(|age| age < SILENT_AFTER));
            }
        }
        Ok(())
    }

    /// Deletes all of a pipeline. Without `force` not while a machine of it is alive.
    pub async fn drop(&self, held: &HeldPipeline, force: bool) -> Result<Dropped, Fault> {
        let mut dropped = match self.drop_keys(&held.keys, force).await? {
            Dropped::Keys(keys) => keys,
            alive => return Ok(alive),
        };
        // What was made meanwhile is no run's any more, unless a machine has begun one anew.
        let pipeline = format!("{{{}/{}}}:pipeline", held.prefix, held.pipeline);
        let keys = self.keys(&held.prefix, &held.pipeline).await?;
        if !keys.is_empty()
            && !keys.contains(&pipeline)
            && let Dropped::Keys(more) = self.drop_keys(&keys, true).await?
        {
            dropped += more;
        }
        Ok(Dropped::Keys(dropped))
    }

    async fn drop_keys(&self, keys: &[String], force: bool) -> Result<Dropped, Fault> {
        let (machines, others): (Vec<&String>, Vec<&String>) = keys.iter().partition(|key| is_machines(key));
        let mut script = self.scripts.drop.prepare_invoke();
        script.arg(machines.len()).arg(SHOWN_FOR.as_millis() as u64).arg(SILENT_AFTER.as_millis() as u64);
        script.arg(u8::from(force));
        for key in machines.into_iter().chain(others) {
            script.key(key);
        }
        let value: Result<Value, _> = script.invoke_async(&mut self.connection.clone()).await;
        let (what, answer): (String, Value) = answer::parsed(value.map_err(|error| answer::fault(&error))?)?;
        match what.as_str() {
            "alive" => Ok(Dropped::Alive(answer::parsed(answer)?)),
            _ => Ok(Dropped::Keys(answer::parsed(answer)?)),
        }
    }
}

/// `{…}:RUN:machines`; a queue may have that name.
fn is_machines(key: &str) -> bool {
    let rest = key.split_once("}:").and_then(|(_, rest)| rest.split_once(':'));
    rest.is_some_and(|(run, what)| run.parse::<u64>().is_ok() && what == "machines")
}

/// A pattern that only the text itself fits.
fn escaped(text: &str) -> String {
    let letter = |letter: char| match letter {
        '*' | '?' | '[' | ']' | '\\' => format!("\\{letter}"),
        letter => letter.to_string(),
    };
    text.chars().map(letter).collect()
}
