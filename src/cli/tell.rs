//! What all verbs have in common that tell a running pipeline to do something.

use serde::Serialize;

use super::output::{self, Failure};
use super::target::{self, Where};
use crate::control::client::{Client, Patience};
use crate::control::protocol::Done;
use crate::exit;

/// How the answer is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Form {
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Tells the pipeline of this name.
pub fn tell(
    name: Option<&str>,
    place: &Where,
    path: &str,
    body: &impl Serialize,
    patience: Patience,
    form: Form,
) -> Result<u8, Failure> {
    tell_to(&mut target::find(name, place)?, path, body, patience, form)
}

/// Tells this one.
pub fn tell_to(
    client: &mut Client,
    path: &str,
    body: &impl Serialize,
    patience: Patience,
    form: Form,
) -> Result<u8, Failure> {
    let done: Done = client.post(path, body, patience).map_err(|error| target::failure(&error))?;
    show(&done, form)?;
    Ok(exit::DONE)
}

/// The answer, in that form.
pub fn show(done: &Done, form: Form) -> Result<(), Failure> {
    if form.json {
        return output::json(done);
    }
    let steps = done.steps.iter().map(|step| format!("  {step}\n"));
    output::print(&format!("{}\n{}", done.done, steps.collect::<String>()))
}
