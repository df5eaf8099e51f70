//! The supervisor's side of the control socket: taken before anything else, served until the end.

use super::inbox::{Inbox, Notice};
use super::{RunOptions, SetUpError};
use crate::config::Pipeline;
use crate::control::claim::{Claim, ClaimError, Wish};
use crate::control::{place, server};
use log::{Level, log};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The pipeline file by which a run is known: absolute, its folder without links. The last link stays: what it points
/// to may change.
pub fn file(options: &RunOptions) -> PathBuf {
    let absolute = std::path::absolute(&options.file).unwrap_or_else(|_| options.file.clone());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// The socket for a run; none if it does without.
///
/// # Errors
/// When the same pipeline runs already, or the socket that its file names can't be made. A missing runtime folder
/// only takes the socket away.
pub fn claim(options: &RunOptions, pipeline: &Pipeline) -> Result<Option<Claim>, SetUpError> {
    if !pipeline.control.enabled {
        return Ok(None);
    }
    let (file, socket) = (file(options), pipeline.control.socket.as_deref());
    let wish = Wish { name: &pipeline.name, pid: std::process::id(), file: &file, socket };
    match Claim::take(&wish, &place::folders_here()) {
        Ok(claim) => Ok(Some(claim)),
        Err(error @ ClaimError::Failed(..)) if socket.is_none() => {
            log!(target: "mprun", Level::Warn, "no control socket: {error}");
            Ok(None)
        }
        Err(error) => Err(SetUpError::Control(error)),
    }
}

/// Answers on the socket from now on.
pub fn serve(claim: &mut Claim, inbox: &Inbox, dead_letters: &Path) {
    let Some(listener) = claim.listener() else { return };
    let sender = inbox.sender();
    let ask: server::Ask = Arc::new(move |request, reply| {
        // If nobody waits for notices any more, the reply is dropped, and that is the answer.
        let _ = sender.send(Notice::Asked(Box::new(request), reply));
    });
    if let Err(error) = server::start(listener, ask, dead_letters) {
        log!(target: "mprun", Level::Warn, "the control socket is not served: {error}");
    }
}
