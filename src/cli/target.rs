//! Which running pipeline a verb speaks to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::output::Failure;
use crate::config::diagnostic::{nearest, no_such_stage as no_such_stage_text, quote};
use crate::control::claim::{self, Holder};
use crate::control::client::{Client, ClientError};
use crate::control::protocol::Reason;
use crate::exit;

/// One running pipeline, as it is named on the command line.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct OnePipeline {
    /// The pipeline: its name or its file. Can be left out when only one runs
    name: Option<String>,
    #[command(flatten)]
    place: Where,
}

impl OnePipeline {
    /// A connection to it.
    pub(super) fn find(&self) -> Result<Client, Failure> {
        find(self.name.as_deref(), &self.place)
    }

    /// As it was said.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// One running pipeline, and maybe a stage of it.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct OneOrAllStages {
    /// The pipeline (can be left out when only one runs), and a stage, if not all are meant
    #[arg(num_args = 0..=2, value_names = ["NAME", "STAGE"])]
    words: Vec<String>,
    #[command(flatten)]
    place: Where,
}

impl OneOrAllStages {
    /// A connection to the pipeline, and the stage that is meant.
    pub(super) fn find(&self) -> Result<(Client, Option<String>), Failure> {
        find_with_stage(&self.words, &self.place)
    }

    /// The words as they are.
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }
}

/// Where to look for it.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Where {
    /// The control socket, if it can't be found by the pipeline's name
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
}

/// The one pipeline that is meant: by its name, by its file, or because no other runs.
pub(super) fn find(name: Option<&str>, place: &Where) -> Result<Client, Failure> {
    if let Some(socket) = &place.socket {
        return Client::connect(socket).map_err(Failure::from);
    }
    let mut alive = running(|holder| name.is_none_or(|name| is_called(holder, name)));
    match (alive.len(), name) {
        (1, _) => Ok(alive.remove(0).1),
        (0, Some(name)) => Err(no_pipeline_called(name, "")),
        (0, None) => Err(Failure::failed(format!("no pipeline runs here (looked in {})", folders()))),
        (_, _) => {
            let all: Vec<Holder> = alive.into_iter().map(|(holder, _)| holder).collect();
            let each: String = all.iter().map(|holder| format!("\n  {}", line_of(holder, &all))).collect();
            Err(Failure::usage(format!("several pipelines run: say which{each}")))
        }
    }
}

/// All that run and answer, with connections to them: those of the nearest folder where there are any. What root runs is
/// not in the way of what a user runs, nor the other way round.
pub(super) fn running(wanted: impl Fn(&Holder) -> bool) -> Vec<(Holder, Client)> {
    let mut tried = BTreeSet::new();
    for folder in claim::folders_here() {
        let mut holders = claim::known(&[folder]);
        // One that hangs holds this up once, though several folders may name it.
        holders.retain(|holder| wanted(holder) && tried.insert(holder.socket.clone()));
        let found = alive(holders);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// All of them, wherever they are.
pub(super) fn running_anywhere() -> Vec<(Holder, Client)> {
    alive(claim::known(&claim::folders_here()))
}

/// One that was killed is known still, but doesn't answer.
fn alive(holders: Vec<Holder>) -> Vec<(Holder, Client)> {
    let holders = holders.into_iter();
    holders.filter_map(|holder| Client::connect(&holder.socket).ok().map(|client| (holder, client))).collect()
}

/// With the word that names no other one.
fn line_of(holder: &Holder, all: &[Holder]) -> String {
    let (label, pid, file) = (holder.label(), holder.pid, file_of(holder));
    let is_only = |word: &str| all.iter().filter(|other| is_called(other, word)).count() == 1;
    let how = match holder.service() {
        _ if is_only(&label) || is_only(&file) => String::new(),
        Some(service) if is_only(service) => format!(": {service}"),
        _ => format!(": --socket {}", holder.socket.display()),
    };
    format!("{label} (process {pid}, {file}){how}")
}

/// Whether a word names it: by its name, by its file, or by the service that it is.
pub(super) fn is_called(holder: &Holder, name: &str) -> bool {
    let is_file = || Path::new(name).canonicalize().is_ok_and(|file| is_same(&file, &holder.file));
    holder.name == name || holder.label() == name || holder.service() == Some(name) || is_file()
}

/// A line of `mprun do` has none.
fn file_of(holder: &Holder) -> String {
    let is_there = holder.file.exists();
    if is_there { holder.file.display().to_string() } else { "a command line".to_owned() }
}

fn is_same(file: &Path, other: &Path) -> bool {
    other == file || other.canonicalize().is_ok_and(|other| other == file)
}

/// Whether a pipeline runs that has this name.
pub(super) fn is_name(name: &str) -> bool {
    !running(|holder| holder.name == name || holder.label() == name).is_empty()
}

/// With the nearest name that there is. `nor`: what else there is not, such as ", and there is no such file".
pub(super) fn no_pipeline_called(name: &str, nor: &str) -> Failure {
    let others = running(|_| true);
    let names: Vec<String> = others.iter().map(|(holder, _)| holder.label()).collect();
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        _ if left_behind(name).is_some() => {
            format!(": it was killed; `mprun logs {name}` shows its last lines")
        }
        Some(near) => format!(": did you mean {near}?"),
        None if names.is_empty() && !nor.is_empty() => String::new(),
        None if names.is_empty() => ", and no other either".to_owned(),
        None => format!("; these run: {}", names.join(", ")),
    };
    Failure::failed(format!("no pipeline {} runs here{nor}{hint}", quote(name)))
}

fn folders() -> String {
    claim::folders_here().iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A pipeline and a stage, from up to two words: a single one is the stage of the only pipeline, or a pipeline.
fn find_with_stage(words: &[String], place: &Where) -> Result<(Client, Option<String>), Failure> {
    match words {
        [] => Ok((find(None, place)?, None)),
        [name, stage, ..] => Ok((find(Some(name), place)?, Some(stage.clone()))),
        [word] => {
            let mut alive = running(|_| true);
            if place.socket.is_some() || alive.len() == 1 {
                let is_name =
                    place.socket.is_none() && alive.iter().any(|(holder, _)| is_called(holder, word));
                let mut client = match place.socket {
                    Some(_) => find(None, place)?,
                    None => alive.remove(0).1,
                };
                let snapshot = client.status(false)?;
                let is_stage = snapshot.stages.iter().any(|stage| stage.name == *word);
                return Ok((client, (is_stage || !is_name).then(|| word.clone())));
            }
            Ok((find(Some(word), place)?, None))
        }
    }
}

/// What to say of a stage that there is not, where these are.
pub(super) fn no_such_stage<'a>(wanted: &str, stages: impl Iterator<Item = &'a str>) -> Failure {
    Failure::usage(no_such_stage_text(wanted, stages))
}

/// A refusal for what the user has typed is bad usage, all else a failure.
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let is_usage = matches!(
            error.reason(),
            Some(
                Reason::NoSuchStage
                    | Reason::NoSuchQueue
                    | Reason::TooFew
                    | Reason::TooMany
                    | Reason::Malformed
                    | Reason::BadFile
                    | Reason::FileRefused,
            )
        );
        let code = if is_usage { exit::USAGE } else { exit::FAILED };
        Failure::with_code(error.to_string().trim_end(), code)
    }
}

/// The socket of a pipeline that was killed and not started again since. The nearest folder's, as for those that run.
pub(super) fn left_behind(name: &str) -> Option<PathBuf> {
    let folders = claim::folders_here();
    let of_each = folders.iter().flat_map(|folder| claim::known(std::slice::from_ref(folder)));
    of_each.into_iter().find(|holder| is_called(holder, name)).map(|holder| holder.socket)
}
