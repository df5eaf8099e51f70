//! Queues of an earlier run that this one can't use: reported, and set aside so that they are not lost.

use crate::queue::{Arena, Fault, Identity, Replaced};
use crate::supervisor::error::SetUpError;
use log::{Level, log};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

/// Reports what became of them.
pub(super) fn tell(what: &str, replaced: &Replaced) {
    let Replaced { aside, why, saved } = replaced;
    let (level, then) = match saved {
        None => (Level::Error, "this run starts with empty ones".to_owned()),
        Some(time) => {
            let time = humantime::format_rfc3339_millis(*time);
            (Level::Warn, format!("this run continues from what was saved at {time}"))
        }
    };
    let aside = aside.display();
    log!(target: "mprun", level, "the queues in {what} can't be used: {why}; they are set aside as {aside}, {then}");
}

/// Reports that the file was not there, but what had been saved of it.
pub(super) fn tell_of_missing(path: &Path, saved: SystemTime) {
    let (path, time) = (path.display(), humantime::format_rfc3339_millis(saved));
    log!(
        target: "mprun",
        Level::Warn,
        "the durable queues in {path} are not there, but what was saved of them at {time}: this run continues from that"
    );
}

/// Copies memory that the service manager kept into the state folder.
pub(super) fn save(fd: &OwnedFd, folder: &Path, why: Fault) {
    match Arena::copy_aside(fd, &folder.join("queues")) {
        Ok(aside) => tell("the service manager's store", &Replaced { aside, why, saved: None }),
        Err(failed) => log!(
            target: "mprun",
            Level::Error,
            "the queues that the service manager kept can't be used: {why}; nor could they be set aside: {failed}"
        ),
    }
}

/// Nothing can take their place: what they held, and what follows for the files that stages have written, is for a person to decide.
pub(super) fn unusable(path: &Path, fault: &Fault) -> SetUpError {
    let both = and_saved(path);
    SetUpError::Refused(format!(
        "the durable queues in {path} can't be used: {fault}. They stay where they are; to begin a new run, which empties the files \
         that its stages write, move {path}{both} away",
        path = path.display()
    ))
}

/// What was saved has to go with the file: alone it would take the file's place.
fn and_saved(path: &Path) -> String {
    let saved = path.with_extension("saved");
    if saved.exists() { format!(" and {}", saved.display()) } else { String::new() }
}

/// Another pipeline's queues of the same name are refused.
pub(super) fn refuse_other_pipeline(arena: &Arena, whose: &Identity, path: &Path) -> Result<(), SetUpError> {
    let found = arena.identity()?;
    if found.is(whose) { Ok(()) } else { Err(other_pipeline(&found.name(), path)) }
}

/// The queues in the file are those of `other`.
pub(super) fn other_pipeline(other: &str, path: &Path) -> SetUpError {
    SetUpError::Refused(format!(
        "the durable queues in {} are those of {other}: give one of the two pipelines another `name` (or, if the file was \
         moved, remove them{also} to start anew)",
        path.display(),
        also = and_saved(path)
    ))
}

/// Only one run can have them.
pub(super) fn in_use(path: &Path) -> SetUpError {
    SetUpError::Refused(format!(
        "the durable queues in {} are in use by another run of this pipeline: stop that one first",
        path.display()
    ))
}

/// Neither guessed at nor thrown away.
pub(super) fn version(path: &Path, fault: &Fault) -> SetUpError {
    SetUpError::Refused(format!(
        "the durable queues in {} can't be used: {fault}; let the version of mprun that made them finish its work, or \
         remove the file{also} to start anew",
        path.display(),
        also = and_saved(path)
    ))
}
