//! The verbs that change a running pipeline, or show what would change. Most send one command.

use super::output::{self, Failure};
use super::target::{OneOrAllStages, OnePipeline};
use super::{plan, scale, upgrade};
use crate::control::client::{ANSWER_TIMEOUT, Client};
use crate::control::protocol::{Command, Done, Reload, Restart, StageOrAll, Stop};
use crate::exit;
use crate::stage::Registry;

#[derive(clap::Subcommand)]
pub enum Verb {
    /// Give a stage of a running pipeline more or fewer processes
    Scale(scale::Args),
    /// Replace the workers of a stage by fresh ones, one by one
    #[command(override_usage = "mprun restart [OPTIONS] [NAME] STAGE", mut_arg("words", |words| words
        .num_args(1..=2)
        .help("The pipeline (can be left out when only one runs), and the stage")))]
    Restart(StageArgs),
    /// Let workers finish their item and wait
    #[command(override_usage = "mprun pause [OPTIONS] [NAME] [STAGE]")]
    Pause(StageArgs),
    /// Let paused workers go on
    #[command(override_usage = "mprun resume [OPTIONS] [NAME] [STAGE]")]
    Resume(StageArgs),
    /// Show what a reload would change in the running pipeline
    Plan(plan::Args),
    /// Take the changed file over now
    Reload(PipelineArgs),
    /// Let the mprun on the disk go on in the place of the running one
    Upgrade(PipelineArgs),
    /// Let a pipeline work off all its items, then end
    Drain(PipelineArgs),
    /// Stop a running pipeline
    Stop(StopArgs),
}

/// When there is an answer, and how it is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct AnswerOptions {
    /// Return only when it is done, not when it is under way
    #[arg(long)]
    pub wait: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Of a command for the whole pipeline.
#[derive(clap::Args)]
pub struct PipelineArgs {
    #[command(flatten)]
    pub pipeline: OnePipeline,
    #[command(flatten)]
    pub answer: AnswerOptions,
}

/// Of a command for one stage or all.
#[derive(clap::Args)]
pub struct StageArgs {
    #[command(flatten)]
    target: OneOrAllStages,
    #[command(flatten)]
    answer: AnswerOptions,
}

#[derive(clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    pipeline: OnePipeline,
    /// Do not work off what is in the queues
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    answer: AnswerOptions,
}

pub fn run(verb: &Verb, registry: &Registry) -> Result<u8, Failure> {
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
        Verb::Drain(PipelineArgs { pipeline, answer }) => {
            send_last(&mut pipeline.find()?, &Command::Drain, *answer)
        }
        Verb::Stop(StopArgs { pipeline, now, answer }) => {
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

/// Sends a command, and shows the answer.
pub fn send(client: &mut Client, command: &Command, options: AnswerOptions) -> Result<u8, Failure> {
    let limit = (!options.wait).then_some(ANSWER_TIMEOUT);
    show(&client.send(command, limit)?, options)?;
    Ok(exit::DONE)
}

/// The same for a command that ends the pipeline: `--wait` is for its end.
fn send_last(client: &mut Client, command: &Command, options: AnswerOptions) -> Result<u8, Failure> {
    // Connected before: afterwards the pipeline may have ended, or another one may have taken its place.
    let watch = options.wait.then(|| Client::connect(&client.socket)).transpose()?;
    let code = send(client, command, options)?;
    watch.map_or(Ok(()), Client::until_the_end)?;
    Ok(code)
}

pub fn show(done: &Done, options: AnswerOptions) -> Result<(), Failure> {
    output::show(options.json, done, || {
        let steps = done.steps.iter().map(|step| format!("  {step}\n"));
        format!("{}\n{}", done.done, steps.collect::<String>())
    })
}
