//! `mprun upgrade`.

use std::time::Duration;

use super::output::Failure;
use super::target::{self, OnePipeline};
use super::tell::{self, Form};
use crate::control::client::{Client, ClientError, Patience};
use crate::control::protocol::Done;
use crate::exit;
use crate::status::Snapshot;
use crate::sys::proc_table;

/// While the new program begins nobody listens, and nothing tells when somebody does again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What `upgrade` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    form: Form,
}

/// Lets the program on the disk take over, and says whether it did: with or without `--wait` that is waited for.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut client = args.pipeline.find()?;
    let before = look(&mut client).map_err(|error| target::failure(&error))?;
    let since = proc_table::started(before.pid);
    let empty = serde_json::Map::new();
    // There is no answer but a refusal: the connection ends with the program that held it.
    match client.post::<Done>("/v1/upgrade", &empty, Patience::Endless) {
        Err(ClientError::Gone(_)) => {}
        Ok(done) => return tell::show(&done, args.form).map(|()| exit::DONE),
        Err(error) => return Err(target::failure(&error)),
    }
    loop {
        let after = Client::connect(&client.socket).and_then(|mut next| look(&mut next));
        if let Ok(after) = after
            && after.upgrades > before.upgrades
            && after.run == before.run
        {
            tell::show(&told(&before, &after), args.form)?;
            return Ok(exit::DONE);
        }
        if proc_table::started(before.pid) != since {
            return Err(Failure::running(format!(
                "the process {} ended before another program had taken over: its log says why",
                before.pid
            )));
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

fn look(client: &mut Client) -> Result<Snapshot, ClientError> {
    client.get("/v1/status")
}

fn told(before: &Snapshot, after: &Snapshot) -> Done {
    let pids = |of: &Snapshot| -> Vec<u32> {
        of.stages.iter().flat_map(|stage| &stage.workers).filter_map(|worker| worker.pid).collect()
    };
    let were = pids(before);
    let stayed = pids(after).iter().filter(|pid| were.contains(pid)).count();
    let (old, new, s) = (&before.version, &after.version, if stayed == 1 { "" } else { "s" });
    let done = format!(
        "mprun {new} took over from mprun {old} in process {}; {stayed} worker{s} went on",
        after.pid
    );
    Done { done, steps: Vec::new() }
}
