//! The verbs that change a running pipeline, or show what would change. Most send one command.

use super::machines::{self, AllMachines};
use super::output::Failure;
use super::request::{AnswerOptions, PipelineArgs, send, send_last};
use super::target::{OneOrAllStages, OnePipeline, Where, find};
use super::{plan, scale, upgrade};
use crate::control::protocol::{Command, OneStage, Reload, Restart, StageOrAll, Stop};
use crate::stage::Registry;

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Give a stage of a running pipeline more or fewer processes
    Scale(scale::Args),
    /// Replace the workers of a stage by fresh ones, one by one
    #[command(override_usage = "mprun restart [OPTIONS] [NAME] STAGE", mut_arg("words", |words| words
        .num_args(1..=2)
        .help("The pipeline (can be left out when only one runs), and the stage")))]
    #[command(after_help = "\
Examples:
  mprun restart parse
  mprun restart shop parse --wait   return when the last one is replaced")]
    Restart(StageArgs),
    /// Let workers finish their item and wait
    #[command(override_usage = "mprun pause [OPTIONS] [NAME] [STAGE]")]
    #[command(after_help = "\
Examples:
  mprun pause shop                all its stages
  mprun pause shop parse --wait   one; return once it has no item in work")]
    Pause(StageArgs),
    /// Let paused workers go on
    #[command(override_usage = "mprun resume [OPTIONS] [NAME] [STAGE]")]
    #[command(after_help = "\
Examples:
  mprun resume shop         all its stages
  mprun resume shop parse   one")]
    Resume(StageArgs),
    /// Show what a reload would change in the running pipeline
    Plan(plan::Args),
    /// Take the changed file over now
    #[command(after_help = "\
Examples:
  mprun reload shop
  mprun reload shop --wait   return when it is done; exit 1 if it failed")]
    Reload(PipelineArgs),
    /// Let the mprun on the disk go on in the place of the running one
    #[command(after_help = "\
Examples:
  mprun upgrade shop   once a newer one is installed; workers stay")]
    Upgrade(PipelineArgs),
    /// Let a pipeline work off all its items, then end
    #[command(after_help = "\
Examples:
  mprun drain shop --wait       return at its end, with the exit code of the run
  mprun drain --all shop.toml   all machines; return once nothing is left")]
    Drain(DrainArgs),
    /// Stop a running pipeline, or one stage of it
    #[command(override_usage = "mprun stop [OPTIONS] [NAME]\n       mprun stop [OPTIONS] NAME STAGE")]
    #[command(after_help = "\
Examples:
  mprun stop              the only one that runs here, after its items
  mprun stop shop --now   leave what is in the queues
  mprun stop shop parse   one stage; `mprun start shop parse` starts it again
  mprun stop --all shop.toml   all machines, from any with the file")]
    Stop(StopArgs),
    /// Start a stage again that was stopped
    #[command(after_help = "\
Examples:
  mprun start shop parse
  mprun start shop parse --wait   return when its processes run")]
    Start(StartArgs),
}

/// Of a command for one stage or all.
#[derive(clap::Args)]
pub(super) struct StageArgs {
    #[command(flatten)]
    target: OneOrAllStages,
    #[command(flatten)]
    answer: AnswerOptions,
}

#[derive(clap::Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    pipeline: OnePipeline,
    /// One stage of it: the others run on, its inputs wait
    stage: Option<String>,
    /// Do not work off what is in the queues
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    all: AllMachines,
    #[command(flatten)]
    answer: AnswerOptions,
}

#[derive(clap::Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    all: AllMachines,
    #[command(flatten)]
    answer: AnswerOptions,
}

#[derive(clap::Args)]
pub(super) struct StartArgs {
    /// The pipeline: its name or its file
    name: String,
    /// The stage
    stage: String,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    answer: AnswerOptions,
}

pub(super) fn run(verb: &Verb, registry: &Registry) -> Result<u8, Failure> {
    match verb {
        Verb::Scale(args) => scale::run(args),
        Verb::Plan(args) => plan::run(args, registry),
        Verb::Upgrade(args) => upgrade::run(args),
        Verb::Pause(args) => args.send(Command::Pause),
        Verb::Resume(args) => args.send(Command::Resume),
        Verb::Restart(StageArgs { target, answer }) => {
            let (mut client, stage) = target.find()?;
            let Some(stage) = stage else {
                return Err(Failure::usage("say which stage to restart: `mprun status` lists them"));
            };
            send(&mut client, &Command::Restart(Restart { stage, wait: answer.wait }), *answer)
        }
        // With `--wait`, exit 1 if the pipeline had to return to the old file.
        Verb::Reload(PipelineArgs { pipeline, answer }) => {
            send(&mut pipeline.find()?, &Command::Reload(Reload { wait: answer.wait }), *answer)
        }
        Verb::Drain(DrainArgs { pipeline, all: AllMachines { all: true }, answer }) => {
            machines::order::drain(pipeline.name(), answer.json, registry)
        }
        Verb::Drain(DrainArgs { pipeline, answer, .. }) => {
            send_last(&mut pipeline.find()?, &Command::Drain, *answer)
        }
        Verb::Stop(StopArgs {
            pipeline,
            stage: None,
            now: false,
            all: AllMachines { all: true },
            answer,
        }) => machines::order::stop(pipeline.name(), (answer.wait, answer.json), registry),
        Verb::Stop(StopArgs { all: AllMachines { all: true }, .. }) => Err(Failure::usage(
            "`--all` is for whole machines, and each gives back what it has not begun: leave the stage and `--now` out",
        )),
        Verb::Stop(StopArgs { pipeline, stage: Some(stage), now: false, answer, .. }) => {
            let command = Command::StopStage(OneStage { stage: stage.clone(), wait: answer.wait });
            send(&mut pipeline.find()?, &command, *answer)
        }
        Verb::Stop(StopArgs { stage: Some(_), .. }) => Err(Failure::usage(
            "`--now` is for a whole pipeline: `stop_timeout` says how long a stage may take",
        )),
        Verb::Start(StartArgs { name, stage, place, answer }) => {
            let command = Command::StartStage(OneStage { stage: stage.clone(), wait: answer.wait });
            send(&mut find(Some(name), place)?, &command, *answer)
        }
        Verb::Stop(StopArgs { pipeline, stage: None, now, answer, .. }) => {
            send_last(&mut pipeline.find()?, &Command::Stop(Stop { now: *now }), *answer)
        }
    }
}

impl StageArgs {
    fn send(&self, command: fn(StageOrAll) -> Command) -> Result<u8, Failure> {
        let (mut client, stage) = self.target.find()?;
        send(&mut client, &command(StageOrAll { stage, wait: self.answer.wait }), self.answer)
    }
}
