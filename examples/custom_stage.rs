//! A source and a stage of your own, in a pipeline of forked worker processes.
//!
//! ```sh
//! cargo run --example custom_stage -- examples/custom_stage.toml
//! ```
//!
//! The program is a complete `mprun` (try `--help`) that knows two more stages.

use mprun::{Context, Emitter, Failure, Item, Next, Persistence, Registry, Settings, Source, Stage};
use std::process::ExitCode;

fn main() -> ExitCode {
    mprun::main(Registry::builtin().source("collatz", collatz).stage("classify", classify))
}

/// Reads the parameters of `use = "collatz"`. Called to check the pipeline file, and again in each worker.
fn collatz(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Collatz, Failure> + use<> {
    with.about("Emits the Collatz numbers from a start down to 1.");
    let start: u64 = with.key("start", "The first number.").at_least(1).required();
    // Where it is belongs to the stage, not to the worker: kill it at any moment, and no number is lost or repeated.
    with.remember(Persistence::State);
    move |_context| Ok(Collatz { number: Some(start) })
}

/// A source: emits a few items at each step, and says what comes next.
struct Collatz {
    number: Option<u64>,
}

impl Source for Collatz {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        let Some(number) = self.number else { return Ok(Next::End) };
        out.emit(number.to_string())?;
        self.number = match number {
            1 => None,
            even if even.is_multiple_of(2) => Some(even / 2),
            odd => Some(odd.checked_mul(3).and_then(|n| n.checked_add(1)).ok_or(Failure::new("too large"))?),
        };
        Ok(Next::More)
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(&self.number.unwrap_or(0).to_le_bytes());
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let number = u64::from_le_bytes(state.try_into()?);
        self.number = (number != 0).then_some(number);
        Ok(())
    }
}

/// The parameters of `use = "classify"`.
fn classify(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Classify, Failure> + use<> {
    with.about("Says of each number whether it is small or large.");
    let limit = with.key("limit", "Larger numbers are large.").or(100u64);
    move |context| Ok(Classify { limit, worker: context.worker })
}

/// A stage: gets items, emits items. What fails is tried again, then kept as a dead letter with the error.
struct Classify {
    limit: u64,
    worker: u32,
}

impl Stage for Classify {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let number: u64 = item.text()?.parse()?;
        let size = if number > self.limit { "large" } else { "small" };
        out.emit(format!("{number} is {size}, says worker {} ({})", self.worker, std::process::id()))
    }
}
