//! Verbs about all machines of a run: what they show lies in the broker, so any machine that has the file can ask.

pub(super) mod audit;
pub(super) mod forget;
pub(super) mod order;
pub(super) mod shared;
pub(super) mod status;
mod table;
pub(super) mod watch;
pub(super) mod why;

use super::output::Failure;
use super::target::{self, OnePipeline};
use crate::broker::{Access, Fault, MemberState, Overview, Visitor};
use crate::config::{self, Broker, BrokerUrl, LoadOptions};
use crate::exit;
use crate::machines::{self, Known, Whole};
use crate::stage::Registry;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;

/// Machines hear once a second that somebody looks, and show themselves then.
const FRESH_WITHIN: Duration = Duration::from_millis(2500);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn is_fresh(overview: &Overview, since: Duration) -> bool {
    let mut alive = overview.machines.iter().filter(|member| member.state == MemberState::Alive);
    alive.all(|member| member.shown.as_ref().is_some_and(|(age, _)| *age < since))
}

fn failure(url: &BrokerUrl, fault: &Fault) -> Failure {
    let code = if fault.may_pass() { exit::FAILED } else { exit::USAGE };
    Failure::with_code(format!("{url}: {fault}"), code)
}

/// Whether a word means a file, be it there or not.
fn is_path(word: &str) -> bool {
    word.ends_with(".toml") || Path::new(word).is_file()
}

/// What every one of these verbs takes.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct AllMachines {
    /// All machines of the run, as the broker knows them: from any machine that has the file
    #[arg(long)]
    pub all: bool,
}

/// A pipeline whose queues lie in a broker, and the way there.
pub(super) struct SharedPipeline {
    pub name: String,
    pub file: PathBuf,
    pub broker: Broker,
    /// In the order of the file.
    pub stages: Vec<String>,
    runtime: Runtime,
}

impl SharedPipeline {
    /// Of a file, or of the pipeline of that name that runs here.
    pub(super) fn find(pipeline: &OnePipeline, registry: &Registry) -> Result<SharedPipeline, Failure> {
        match pipeline.name() {
            Some(name) if is_path(name) => SharedPipeline::of_file(Path::new(name), registry),
            _ => {
                let file = pipeline.find()?.status(false)?.file;
                SharedPipeline::of_file(Path::new(&file), registry)
            }
        }
    }

    /// The same where only a name or nothing may be said.
    pub(super) fn named(name: Option<&str>, registry: &Registry) -> Result<SharedPipeline, Failure> {
        match name {
            Some(name) if is_path(name) => SharedPipeline::of_file(Path::new(name), registry),
            name => {
                let file = target::find(name, &target::Where::default())?.status(false)?.file;
                SharedPipeline::of_file(Path::new(&file), registry)
            }
        }
    }

    pub(super) fn of_file(file: &Path, registry: &Registry) -> Result<SharedPipeline, Failure> {
        let loaded = config::load(file, &LoadOptions::default(), registry)
            .map_err(|report| Failure::usage(report.render(false).trim_end()))?;
        let pipeline = loaded.pipeline;
        let no_broker = || Failure::usage(format!("{}: it names no `broker`", file.display()));
        let broker = pipeline.broker.filter(|broker| !broker.queues.is_empty()).ok_or_else(no_broker)?;
        let stages = pipeline.stages.into_iter().map(|stage| stage.name).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("prepare a connection", &error))?;
        Ok(SharedPipeline { name: pipeline.name, file: file.to_owned(), broker, stages, runtime })
    }

    /// Asks the latest run. A broker that can't be reached is a failure, exit 1; one that refuses is bad usage, exit 2.
    pub(super) fn ask<T>(
        &self,
        request: impl AsyncFnOnce(&Visitor) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let asked = self.runtime.block_on(async {
            match self.visit().await? {
                Some(visitor) => request(&visitor).await.map(Some),
                None => Ok(None),
            }
        });
        let answer = asked.map_err(|fault| self.failure(&fault))?;
        answer.ok_or_else(|| {
            Failure::failed(format!(
                "no machine has begun a run of {}: {} holds nothing of it",
                self.name, self.broker.url
            ))
        })
    }

    async fn visit(&self) -> Result<Option<Visitor>, Fault> {
        Visitor::open(&self.access()?, &self.broker.layout(&self.name)).await
    }

    /// Files with secrets are read each time.
    fn access(&self) -> Result<Access, Fault> {
        self.broker.read_files().map_err(|(_, why)| Fault::Fatal(why))
    }

    fn failure(&self, fault: &Fault) -> Failure {
        failure(&self.broker.url, fault)
    }

    fn whole(&self, overview: Overview) -> Whole {
        let SharedPipeline { name, file, broker, stages, .. } = self;
        machines::whole(&Known { name, file, broker: &broker.url, stages }, overview, SystemTime::now())
    }

    /// The whole run.
    pub(super) fn look(&self) -> Result<Whole, Failure> {
        Ok(self.whole(self.ask(async |visitor| visitor.overview().await)?))
    }

    /// The same, for looks that follow each other: the machines show themselves each second.
    pub(super) fn watch(&self) -> Result<Whole, Failure> {
        let overview = self.ask(async |visitor| {
            visitor.watch().await?;
            visitor.overview().await
        })?;
        Ok(self.whole(overview))
    }

    /// The same once, with what the machines show from now on, as far as they do so in time.
    pub(super) fn look_afresh(&self) -> Result<Whole, Failure> {
        let overview = self.ask(async |visitor| {
            visitor.watch().await?;
            let begun = Instant::now();
            loop {
                let overview = visitor.overview().await?;
                if is_fresh(&overview, begun.elapsed()) || begun.elapsed() > FRESH_WITHIN {
                    return Ok(overview);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })?;
        Ok(self.whole(overview))
    }
}
