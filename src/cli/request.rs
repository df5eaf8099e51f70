//! A command to a running pipeline, and its answer.

use super::output::{self, Failure};
use super::target::OnePipeline;
use crate::control::client::{ANSWER_TIMEOUT, Client, EndWatch};
use crate::control::protocol::{Command, Done};
use crate::exit;

/// When there is an answer, and how it is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct AnswerOptions {
    /// Return only when it is done, not when it is under way
    #[arg(long)]
    pub wait: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Of a command for the whole pipeline.
#[derive(clap::Args)]
pub(super) struct PipelineArgs {
    #[command(flatten)]
    pub pipeline: OnePipeline,
    #[command(flatten)]
    pub answer: AnswerOptions,
}

/// Sends a command, and shows the answer.
pub(super) fn send(client: &mut Client, command: &Command, options: AnswerOptions) -> Result<u8, Failure> {
    let limit = (!options.wait).then_some(ANSWER_TIMEOUT);
    if options.wait {
        expect_answer(client)?;
    }
    show(&client.send(command, limit)?, options)?;
    Ok(exit::DONE)
}

/// The same for a command that ends the pipeline: `--wait` is for its end, and for its exit code.
pub(super) fn send_last(
    client: &mut Client,
    command: &Command,
    options: AnswerOptions,
) -> Result<u8, Failure> {
    if options.wait {
        expect_answer(client)?;
    }
    // Connected before: afterwards the pipeline may have ended, or another one may have taken its place.
    let watch = options.wait.then(|| EndWatch::begin(&client.socket)).transpose()?;
    let code = send(client, command, options)?;
    Ok(watch.map(EndWatch::exit_code).transpose()?.unwrap_or(code))
}

/// What is waited for may take as long as it takes; that there is anything to wait for is known in a moment.
fn expect_answer(client: &mut Client) -> Result<(), Failure> {
    Ok(client.status(false).map(drop)?)
}

pub(super) fn show(done: &Done, options: AnswerOptions) -> Result<(), Failure> {
    output::show(options.json, done, || {
        let steps = done.steps.iter().map(|step| format!("  {step}\n"));
        format!("{}\n{}", done.done, steps.collect::<String>())
    })
}
