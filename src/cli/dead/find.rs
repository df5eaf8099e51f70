//! The dead letters that are meant: their file, and their pipeline if it runs.

use std::path::{Path, PathBuf};

use crate::cli::output::{self, Failure};
use crate::cli::target::{self, Where};
use crate::config;
use crate::config::diagnostic::{nearest, quote};
use crate::control::client::{Client, ClientError};
use crate::dead_letter::location::{self, KnownFile, Owner};
use crate::exit;

#[derive(clap::Args)]
pub(super) struct Source {
    /// The file of dead letters, if it can't be found by the pipeline's name
    #[arg(long, value_name = "PATH", global = true)]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

pub(super) struct Found {
    /// Of the letters.
    pub path: PathBuf,
    /// To the pipeline, if it runs.
    pub client: Option<Client>,
    /// The pipeline file, if it doesn't run and that is known.
    pub file: Option<PathBuf>,
    /// The letters belong to a file by its path: those that name none may be another's.
    pub by_path: bool,
}

impl Source {
    /// The letters of the pipeline of this name or file; without one, of the only one that runs, or that has some.
    pub(super) fn find(&self, name: Option<&str>) -> Result<Found, Failure> {
        let failure = match target::find(name, &self.place) {
            Err(failure) => failure,
            Ok(mut client) => match client.status(false) {
                Ok(snapshot) => {
                    let path = self.file.clone().unwrap_or_else(|| snapshot.dead_letter_file.into());
                    if path.as_os_str().is_empty() {
                        return Err(Failure::failed("this run keeps no dead letters ([dead_letters] keep)"));
                    }
                    if let (Some(name), None, None) = (name, &self.file, &self.place.socket) {
                        only_one(name, &path)?;
                    }
                    let by_path = has_owner(&path);
                    return Ok(Found { path, client: Some(client), file: None, by_path });
                }
                // The run ended after it was found.
                Err(error @ (ClientError::Gone(..) | ClientError::NotConnected(..))) => error.into(),
                Err(error) => return Err(error.into()),
            },
        };
        self.without_run(name, failure)
    }

    fn without_run(&self, name: Option<&str>, failure: Failure) -> Result<Found, Failure> {
        let pipeline = name.map(Path::new).filter(|path| path.is_file());
        if let Some(path) = &self.file {
            let file = pipeline.map(Path::to_owned);
            return Ok(Found { path: path.clone(), client: None, file, by_path: false });
        }
        if let Some(file) = pipeline {
            return of_file(file);
        }
        let known = match name {
            Some(name) => location::files_of(name, &variable),
            None => location::all_files(&variable),
        };
        let (full, empty): (Vec<KnownFile>, Vec<KnownFile>) =
            known.into_iter().filter(|known| known.path.exists()).partition(|known| has_letters(&known.path));
        match (full.as_slice(), empty.first()) {
            ([], Some(empty)) => Ok(of_known(empty)),
            ([], None) => Err(without_letters(name, failure)),
            ([only], _) => Ok(of_known(only)),
            (several, _) => Err(Failure::usage(format!(
                "several pipelines have dead letters: say which{}",
                several.iter().map(|known| format!("\n  {}", called(known))).collect::<String>()
            ))),
        }
    }
}

/// What to say where neither a run nor a file of letters is there.
fn without_letters(name: Option<&str>, failure: Failure) -> Failure {
    let known = location::all_files(&variable);
    match name {
        _ if failure.code() == exit::USAGE => failure, // several run
        Some(name) => {
            let near = nearest(name, known.iter().map(|known| known.name.as_str()));
            let hint = near.map_or(String::new(), |near| format!(": did you mean {near}?"));
            let (name, folders) = (quote(name), location::folders_here(&variable));
            let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let looked = folders.join(", ");
            Failure::failed(format!(
                "no pipeline {name} runs here or has had dead letters here (looked in {looked}){hint}"
            ))
        }
        None => Failure::failed(format!("{failure}, and none has had dead letters here")),
    }
}

/// A pipeline of this name that runs under another folder of sockets may keep its letters elsewhere: those that are here
/// are not its own, and neither may be taken for the other.
fn only_one(name: &str, of_run: &Path) -> Result<(), Failure> {
    if Path::new(name).is_file() {
        return Ok(());
    }
    let here = location::files_of(name, &variable);
    let is_its_own = here.iter().any(|known| is_same(&known.path, of_run));
    let others: Vec<KnownFile> = here.into_iter().filter(|known| has_letters(&known.path)).collect();
    if is_its_own || others.is_empty() {
        return Ok(());
    }
    let each: String = others.iter().map(|known| format!("\n  {}", called(known))).collect();
    Err(Failure::usage(format!(
        "a pipeline of this name runs whose dead letters are in {}, and here are others: say which by its file, or by \
         --file{each}",
        of_run.display()
    )))
}

pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Where a run of this pipeline file looks for its letters, and what the pipeline is called.
pub(super) fn own_letters(file: &Path) -> (PathBuf, String) {
    let owner = owner_of(file);
    (owner.path(&variable), owner.name)
}

fn owner_of(file: &Path) -> Owner {
    let name = config::name_in_file(file);
    Owner { file: config::file_without_name(&name, file), name }
}

/// Whether queues are kept for this pipeline file.
pub(super) fn has_durable_queues(file: &Path) -> bool {
    location::folder(&config::name_in_file(file), &variable).join("queues").exists()
}

/// A file that has had letters stays, empty.
fn has_letters(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.len() > 0)
}

fn has_owner(path: &Path) -> bool {
    std::fs::read_link(path.with_extension("of")).is_ok()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn of_file(file: &Path) -> Result<Found, Failure> {
    let owner = owner_of(file);
    let own = owner.path(&variable);
    let mut full = owner.paths_of_services(&variable);
    full.insert(0, own.clone());
    full.retain(|path| has_letters(path));
    let path = match full.as_slice() {
        [] => {
            report_others(&owner);
            own
        }
        [only] => only.clone(),
        several => {
            let each: String = several.iter().map(|path| format!("\n  --file {}", path.display())).collect();
            return Err(Failure::usage(format!(
                "several runs of this file have left dead letters: say which{each}"
            )));
        }
    };
    Ok(Found { by_path: owner.file.is_some(), path, client: None, file: Some(file.to_owned()) })
}

/// Where letters were looked for that there are none of.
pub(super) fn looked_in(path: &Path) -> String {
    let mut folders = location::folders_here(&variable);
    folders.retain(|folder| !path.starts_with(folder));
    let places = [path.to_owned()].into_iter().chain(folders).map(|place| place.display().to_string());
    format!("looked in {}", places.collect::<Vec<_>>().join(", "))
}

/// Of letters of a service of the system, where it does not run: its name. No other user's run may work in its state folder.
pub(super) fn service_of(letters: &Path) -> Option<&str> {
    location::service_of(letters)
}

/// A file that was moved has left its letters under its old path.
fn report_others(owner: &Owner) {
    for other in
        location::files_of(&owner.name, &variable).into_iter().filter(|other| has_letters(&other.path))
    {
        let of = other.of.map_or_else(|| "unknown".to_owned(), |of| of.display().to_string());
        let path = other.path.display();
        output::report_error(&format!(
            "there are dead letters of another file of this name, {of}: --file {path} shows them"
        ));
    }
}

fn of_known(known: &KnownFile) -> Found {
    let file = known.of.clone().filter(|file| file.is_file());
    Found { by_path: known.of.is_some(), path: known.path.clone(), client: None, file }
}

fn called(known: &KnownFile) -> String {
    match &known.of {
        Some(file) => file.display().to_string(),
        None => known.name.clone(),
    }
}
