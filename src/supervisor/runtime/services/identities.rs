//! Users and groups by name: looked up by an errand, as a directory server may take its time or never answer.

use crate::config::pipeline::Command;
use crate::supervisor::machine::effect::Spawn;
use crate::supervisor::runtime::errand;
use crate::worker::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The hidden verb.
pub(crate) const VERB: &str = "__identify";
/// An answer serves starts that come soon after it, such as the processes of one stage.
const VALID_FOR: Duration = Duration::from_secs(10);

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Asked {
    user: Option<String>,
    group: Option<String>,
}

/// What was found, or why nothing was.
pub(crate) type Found = Result<Option<Identity>, String>;

/// Answers, and the starts that wait for one.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    known: BTreeMap<Asked, (Instant, Found)>,
    waiting: BTreeMap<Asked, Vec<Spawn>>,
}

/// What a start has to wait for.
pub(crate) enum Lookup {
    Known(Found),
    /// An errand is on its way.
    Waits,
    /// It is the first: an errand is to be sent.
    Ask(Asked),
}

impl Identities {
    pub(crate) fn look_up(&mut self, command: &Command, spawn: &Spawn) -> Lookup {
        let asked = Asked { user: command.user.clone(), group: command.group.clone() };
        if asked.user.is_none() && asked.group.is_none() {
            return Lookup::Known(Ok(None));
        }
        self.known.retain(|_, (at, _)| at.elapsed() < VALID_FOR);
        if let Some((_, found)) = self.known.get(&asked) {
            return Lookup::Known(found.clone());
        }
        let waiting = self.waiting.entry(asked.clone()).or_default();
        waiting.push(spawn.clone());
        if waiting.len() == 1 { Lookup::Ask(asked) } else { Lookup::Waits }
    }

    /// The starts that have waited for it.
    pub(crate) fn answered(&mut self, asked: Asked, found: Found) -> Vec<Spawn> {
        let waiting = self.waiting.remove(&asked).unwrap_or_default();
        self.known.insert(asked, (Instant::now(), found));
        waiting
    }

    /// Whether a start waits.
    pub(crate) fn are_asked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// There is no answer, and no reason to keep that.
    pub(crate) fn unanswered(&mut self, asked: &Asked) -> Vec<Spawn> {
        self.waiting.remove(asked).unwrap_or_default()
    }
}

/// For the errand's process.
pub(crate) fn request(asked: &Asked) -> io::Result<OwnedFd> {
    errand::request(asked)
}

/// The life of the errand's process.
pub(crate) fn run() -> ExitCode {
    let answer = errand::read_request().map(|asked: Asked| {
        let command = Command { user: asked.user, group: asked.group, ..Command::default() };
        Identity::of(&command).map_err(|failure| failure.to_string())
    });
    let text = answer.and_then(|found: Found| Ok(serde_json::to_string(&found)?));
    match text.and_then(|text| io::stdout().write_all(text.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "mprun: {error}");
            ExitCode::from(crate::exit::USAGE)
        }
    }
}
