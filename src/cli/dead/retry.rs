//! `mprun dead retry`: in the running pipeline, or in a run of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::{self, Found, Source};
use super::letters::each;
use super::selection::{Chosen, Selection};
use crate::cli::output::{self, Failure};
use crate::config::LoadOptions;
use crate::config::diagnostic::quote;
use crate::control::client::Client;
use crate::control::protocol::{Retried, Retry};
use crate::exit;
use crate::logs::Logging;
use crate::numbers::counted;
use crate::progress::When;
use crate::stage::Registry;
use crate::supervisor::{self, Retries, RunOptions};

/// Keys in one request: well below what a request may hold.
const KEYS_AT_ONCE: usize = 2000;

/// Puts back those that are meant.
pub(super) fn run(
    source: &Source,
    selection: &Selection,
    verbosity: i8,
    registry: &Registry,
) -> Result<u8, Failure> {
    if source.file.is_some() {
        return Err(Failure::usage("a pipeline tries its own letters again: leave --file out"));
    }
    let mut found = source.find(selection.name())?;
    let mut chosen = selection.choose(&found.path)?;
    if found.by_path {
        chosen = chosen.leave_nameless(&found.path)?;
    }
    match found.client.take() {
        Some(client) => in_run(&client, &found, &chosen),
        None => in_own_run(found, chosen, verbosity, registry),
    }
}

fn in_run(client: &Client, found: &Found, chosen: &Chosen) -> Result<u8, Failure> {
    let (mut all, mut keys) = (Retried::default(), Vec::new());
    let mut send = |keys: Vec<String>| {
        // Anew each time: while the file is read, the pipeline may have let an idle client go.
        let retried = Client::connect(&client.socket)?.retry(&Retry { keys })?;
        all.put += retried.put;
        all.missing += retried.missing;
        all.refused.extend(retried.refused);
        Ok::<(), Failure>(())
    };
    each(&found.path, |letter| {
        if chosen.is_meant(&letter) {
            keys.push(letter.key());
        }
        if keys.len() == KEYS_AT_ONCE {
            send(std::mem::take(&mut keys))?;
        }
        Ok(true)
    })?;
    if !keys.is_empty() {
        send(keys)?;
    }
    output::print(&format!("{} put back\n", counted(all.put, "dead letter")))?;
    all.refused.iter().for_each(|why| output::report_error(why));
    Ok(if all.refused.is_empty() { exit::DONE } else { exit::FAILED })
}

/// A line of `mprun do` has no file that could be run again.
fn no_file(named: Option<&Path>) -> Failure {
    let gone = named.map_or_else(String::new, |file| format!(", and there is no file {}", file.display()));
    Failure::usage(format!(
        "no run is under way{gone}: say by its file which pipeline is meant; for items of `mprun do --name NAME`, \
         `mprun do --name NAME --print … > FILE` writes one"
    ))
}

/// Its state is its user's: what a run of root leaves there it could not write.
fn of_a_service(service: &str, letters: &Path) -> Failure {
    Failure::failed(format!(
        "the letters in {} are of the service mprun-{service} (or mprun@{service}), which does not run: start it \
         (`systemctl start mprun-{service}`), and then `mprun dead retry` puts them back",
        letters.display()
    ))
}

/// The letters are found by the name that their pipeline had: a run of the file would look elsewhere, and try none.
fn refuse_another_name(file: &Path, letters: &Path) -> Result<(), Failure> {
    let (own, name) = find::own_letters(file);
    if find::is_same(&own, letters) {
        return Ok(());
    }
    let (file, letters) = (file.display(), letters.display());
    Err(Failure::usage(format!(
        "the letters in {letters} are of a pipeline of another name: {file} is called {} now; give it the old name back \
         (`name = …`), try them again, and rename it then",
        quote(&name)
    )))
}

/// No run is under way: one that only works off what is there.
fn in_own_run(found: Found, chosen: Chosen, verbosity: i8, registry: &Registry) -> Result<u8, Failure> {
    let mut any = false;
    let mut file = found.file;
    let mut named = None;
    each(&found.path, |letter| {
        any |= chosen.is_meant(&letter);
        // A pipeline with a name of its own is found by it; only its letters say which file that was.
        if file.is_none() {
            named = letter.text.pipeline.map(PathBuf::from).or(named.take());
            file = named.clone().filter(|file| file.is_file());
        }
        Ok(!any || file.is_none())
    })?;
    // An interrupted run is continued, also when it has erased all letters.
    let has_queues = file.as_deref().is_some_and(find::has_durable_queues);
    if !any && !has_queues {
        output::print(&format!("no dead letters to try again ({})\n", find::looked_in(&found.path)))?;
        return Ok(exit::DONE);
    }
    if let Some(service) = find::service_of(&found.path) {
        return Err(of_a_service(service, &found.path));
    }
    let Some(file) = file else {
        return Err(no_file(named.as_deref()));
    };
    refuse_another_name(&file, &found.path)?;
    let load = LoadOptions { works_off: true, ..LoadOptions::default() };
    let logging = Logging::from_environment(verbosity);
    logging.start(None);
    let retries = Some(Retries { chosen: Arc::new(move |letter| chosen.is_meant(letter)) });
    let options = RunOptions {
        file,
        text: None,
        load,
        watch: false,
        logging,
        progress: When::Never,
        report: None,
        new_run: false,
        only_run: None,
        retries,
    };
    Ok(supervisor::run(options, registry))
}
