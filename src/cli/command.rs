//! The verbs that send one command to a running pipeline: `pause`, `resume`, `restart`, `reload`, `drain`, `stop`.

use super::output::{self, Failure};
use super::target::{OneOrAllStages, OnePipeline};
use crate::control::client::{ANSWER_TIMEOUT, Client};
use crate::control::protocol::{Command, Done, Reload, Restart, StageOrAll, Stop};
use crate::exit;

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

pub fn pause(StageArgs { target, answer }: &StageArgs) -> Result<u8, Failure> {
    let (mut client, stage) = target.find()?;
    send(&mut client, &Command::Pause(StageOrAll { stage, wait: answer.wait }), *answer)
}

pub fn resume(StageArgs { target, answer }: &StageArgs) -> Result<u8, Failure> {
    let (mut client, stage) = target.find()?;
    send(&mut client, &Command::Resume(StageOrAll { stage, wait: answer.wait }), *answer)
}

pub fn restart(StageArgs { target, answer }: &StageArgs) -> Result<u8, Failure> {
    let (mut client, stage) = target.find()?;
    let Some(stage) = stage else {
        return Err(Failure::usage("say which stage to restart: `mprun status` lists them"));
    };
    send(&mut client, &Command::Restart(Restart { stage, wait: answer.wait }), *answer)
}

/// With `--wait`, exit 1 if the pipeline had to return to the old file.
pub fn reload(PipelineArgs { pipeline, answer }: &PipelineArgs) -> Result<u8, Failure> {
    send(&mut pipeline.find()?, &Command::Reload(Reload { wait: answer.wait }), *answer)
}

pub fn drain(PipelineArgs { pipeline, answer }: &PipelineArgs) -> Result<u8, Failure> {
    send_last(&mut pipeline.find()?, &Command::Drain, *answer)
}

pub fn stop(StopArgs { pipeline, now, answer }: &StopArgs) -> Result<u8, Failure> {
    send_last(&mut pipeline.find()?, &Command::Stop(Stop { now: *now }), *answer)
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
