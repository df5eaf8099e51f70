//! `mprun tap QUEUE`: items as they pass.

use super::output::{self, Failure};
use super::target::{self, Where};
use crate::config::diagnostic::quote;
use crate::exit;
use crate::numbers::counted;
use crate::status::Glimpse;

#[derive(clap::Args)]
#[command(override_usage = "mprun tap [OPTIONS] [NAME] QUEUE")]
#[command(after_help = "\
Examples:
  mprun tap lines                                  items as they pass
  mprun tap shop lines -n 1 --json | jq -r .text   the next one, for a script")]
pub(super) struct Args {
    /// The pipeline (can be left out when only one runs), and the queue
    #[arg(num_args = 1..=2, value_names = ["NAME", "QUEUE"])]
    words: Vec<String>,
    /// End after this many items
    #[arg(long, short = 'n', value_name = "ITEMS")]
    count: Option<u64>,
    /// Print each item as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Shows some of the items that pass, without taking them: up to ten a second, each shortened.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let (name, queue) = match args.words.as_slice() {
        [name, queue] => (Some(name.as_str()), queue),
        [queue, ..] => (None, queue),
        [] => return Err(Failure::usage("say which queue: `mprun status` lists them")),
    };
    let mut client = target::find(name, &args.place)?;
    // What has no place in an address is no queue's name.
    if !queue.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Failure::usage(format!("there is no queue {}: `mprun status` lists them", quote(queue))));
    }
    let (mut pending, mut left, mut outcome) = (Vec::new(), args.count.unwrap_or(u64::MAX), Ok(true));
    let streamed = client.tap(queue, |bytes| {
        pending.extend_from_slice(bytes);
        while left > 0
            && matches!(outcome, Ok(true))
            && let Some(end) = pending.iter().position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = pending.drain(..=end).collect();
            // While nothing passes, empty lines come.
            if line == b"\n" {
                continue;
            }
            left -= 1;
            outcome = show(&line, args.json);
        }
        left > 0 && matches!(outcome, Ok(true))
    });
    streamed?;
    outcome.map(|_| exit::DONE)
}

/// False: the reader has closed standard output.
fn show(line: &[u8], json: bool) -> Result<bool, Failure> {
    let text = String::from_utf8_lossy(line);
    match serde_json::from_slice::<Glimpse>(line) {
        Ok(seen) if !json => {
            let more = if seen.bytes > Glimpse::MAX_BYTES as u64 { " …" } else { "" };
            output::print_on(&format!("{} ({}): {}{more}\n", seen.id, counted(seen.bytes, "byte"), seen.text))
        }
        Ok(_) | Err(_) => output::print_on(&text),
    }
}
