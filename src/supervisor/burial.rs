//! Dead letters on behalf of workers that were killed by their item.

use super::action::Release;
use super::launch::Launcher;
use super::reason::End;
use crate::dead_letter::{self, Cause, DeadLetter};
use crate::queue::{Doomed, Ending, QueueId};
use crate::sys::wait::Exit;
use log::{Level, log};
use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

/// Writes the dead letter of an item. After an error the item goes back to its queue: it is never lost.
pub fn bury(
    doomed: &Doomed<'_>,
    release: &Release,
    names: &BTreeMap<QueueId, String>,
    launcher: &Launcher,
) -> io::Result<()> {
    let letter = DeadLetter {
        item: doomed.item,
        stage: &release.stage,
        worker: release.worker.index,
        queue: names.get(&doomed.queue).map_or("", String::as_str),
        id: doomed.id,
        attempts: doomed.attempts,
        cause: cause(&release.end),
        stderr: &release.words,
        time: SystemTime::now(),
        run: &launcher.run,
    };
    let written = dead_letter::append(&launcher.dead_letters, &letter, launcher.arena.is_saved());
    let (stage, index) = (&release.stage, release.worker.index);
    match &written {
        Ok(()) => log!(
            target: "mprun",
            Level::Warn,
            "item {} of {} is a dead letter after {} attempts: {stage}[{index}] {}",
            letter.id, letter.queue, letter.attempts, release.end
        ),
        Err(error) => log!(
            target: "mprun",
            Level::Error,
            "failed to write a dead letter, the item goes back to {}: {error}",
            letter.queue
        ),
    }
    written
}

fn cause(end: &End) -> Cause {
    match end {
        End::Died(Exit::Signal(signal)) => Cause::Signal(signal.to_string()),
        End::Died(Exit::Code(code)) => Cause::ExitCode(*code),
        End::Said(Ending::TimedOut) => Cause::TimedOut,
        End::Said(Ending::Failed(why) | Ending::Lost(why)) | End::ProgramKilled(why) => {
            Cause::Error(why.clone())
        }
        // None of these leaves a begun item behind; if one does, this is all there is to say.
        End::Said(
            Ending::Finished | Ending::InputEnded | Ending::OutputClosed | Ending::Ordered | Ending::Recycled,
        )
        | End::NotStarted(_)
        | End::CannotStart(_)
        | End::Terminated => Cause::Error(end.to_string()),
    }
}
