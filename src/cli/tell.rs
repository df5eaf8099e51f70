//! What all verbs have in common that tell a running pipeline to do something.

use serde::Serialize;

use super::output::{self, Failure};
use super::target;
use crate::control::client::{Client, Patience};
use crate::control::protocol::Done;
use crate::exit;

/// When there is an answer, and how it is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Form {
    /// Return only when it is done, not when it is under way
    #[arg(long)]
    pub wait: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Tells a pipeline something, and shows what it answers.
pub fn tell(client: &mut Client, path: &str, body: &impl Serialize, form: Form) -> Result<u8, Failure> {
    let patience = if form.wait { Patience::Endless } else { Patience::Short };
    let done: Done = client.post(path, body, patience).map_err(|error| target::failure(&error))?;
    show(&done, form)?;
    Ok(exit::DONE)
}

/// The same for what ends the pipeline: then the end is what there is to wait for.
pub fn tell_to_end(
    client: &mut Client,
    path: &str,
    body: &impl Serialize,
    form: Form,
) -> Result<u8, Failure> {
    // Connected before: afterwards the pipeline may be gone already, or another one be there in its place.
    let watch = form.wait.then(|| Client::connect(&client.socket)).transpose();
    let watch = watch.map_err(|error| target::failure(&error))?;
    let code = tell(client, path, body, form)?;
    if let Some(watch) = watch {
        watch.until_the_end().map_err(|error| target::failure(&error))?;
    }
    Ok(code)
}

/// The answer, in that form.
pub fn show(done: &Done, form: Form) -> Result<(), Failure> {
    if form.json {
        return output::json(done);
    }
    let steps = done.steps.iter().map(|step| format!("  {step}\n"));
    output::print(&format!("{}\n{}", done.done, steps.collect::<String>()))
}
