//! `mprun upgrade`.

use std::time::Duration;

use super::output::Failure;
use super::request::{self, PipelineArgs};
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Command, Done};
use crate::exit;
use crate::numbers::counted;
use crate::status::{Snapshot, StageStatus};
use crate::sys::proc_table;

/// Between two tries to connect: while the new program starts, nothing listens.
const CONNECT_INTERVAL: Duration = Duration::from_millis(20);

/// Lets the program on the disk take over, and says whether it did: with or without `--wait` that is waited for.
pub(super) fn run(args: &PipelineArgs) -> Result<u8, Failure> {
    let mut client = args.pipeline.find()?;
    let before = client.status(false)?;
    let since = proc_table::started(before.pid);
    // There is no answer but a refusal: the connection ends with the program that held it.
    match client.send(&Command::Upgrade, None) {
        Err(ClientError::Gone(_)) => {}
        Ok(done) => return request::show(&done, args.answer).map(|()| exit::DONE),
        Err(error) => return Err(error.into()),
    }
    loop {
        let after = Client::connect(&client.socket).and_then(|mut next| next.status(false));
        if let Ok(after) = after
            && after.upgrades > before.upgrades
            && after.run == before.run
        {
            request::show(&summary(&before, &after), args.answer)?;
            return Ok(exit::DONE);
        }
        if proc_table::started(before.pid) != since {
            return Err(Failure::failed(format!(
                "the process {} ended before another program had taken over: its log says why",
                before.pid
            )));
        }
        std::thread::sleep(CONNECT_INTERVAL);
    }
}

fn summary(before: &Snapshot, after: &Snapshot) -> Done {
    let pids = |of: &Snapshot| -> Vec<u32> {
        of.stages.iter().flat_map(|stage| &stage.workers).filter_map(|worker| worker.pid).collect()
    };
    let were = pids(before);
    let stayed = pids(after).iter().filter(|pid| were.contains(pid)).count();
    let (old, new) = (&before.version, &after.version);
    let what = if after.stages.iter().any(StageStatus::is_service) { "process" } else { "worker" };
    let workers = counted(stayed as u64, what);
    let done = format!(
        "mprun {new} took over from mprun {old} in process {}, with {workers} as they were",
        after.pid
    );
    Done { done, steps: Vec::new() }
}
