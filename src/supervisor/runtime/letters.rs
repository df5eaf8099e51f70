//! Where the dead letters of a run go, whether they can; and those that come back.

use super::inbox::{Inbox, Notice, SMALL_STACK};
use crate::config::{self, DeadLetters};
use crate::control::server::{Ask, Retrier};
use crate::dead_letter::location::Owner;
use crate::dead_letter::{self, Store};
use crate::numbers::counted as count;
use crate::supervisor::options::{Retries, RunOptions};
use log::{Level, log};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// The environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Their file. That it can't be written is said now, and not when the first item needs it.
pub(crate) fn store(options: &RunOptions, pipeline: &str, bounds: DeadLetters) -> Store {
    let file = std::fs::canonicalize(&options.file).unwrap_or_else(|_| options.file.clone());
    if !bounds.keep {
        return Store { keeps: false, ..Store::at(PathBuf::new(), &file) };
    }
    let owner = Owner { name: pipeline.to_owned(), file: config::file_without_name(pipeline, &options.file) };
    let claimed = owner.claim(&variable);
    let path = owner.path(&variable);
    if let Err(error) = claimed.and_then(|path| dead_letter::probe(&path)) {
        log!(
            target: "mprun",
            Level::Warn,
            "dead letters can't be written: {}: {error}. An item that fails for good then stops its stage. Make that place \
             writable, or name another one: XDG_STATE_HOME=FOLDER mprun ...",
            path.display()
        );
    }
    Store { max_size: bounds.max_size, when_full: bounds.when_full, ..Store::at(path, &file) }
}

/// Puts dead letters back into their queues, on a thread of its own; then sends a notice.
pub(crate) fn begin_retries(retries: &Retries, inbox: &Inbox, store: &Store) -> io::Result<()> {
    let (sender, chosen) = (inbox.sender(), Arc::clone(&retries.chosen));
    let requests = inbox.sender();
    let ask: Ask = Arc::new(move |request, reply| {
        // Once the run is over the reply is dropped, and that is the answer.
        requests.send(Notice::Asked(Box::new(request), reply));
    });
    let mut retrier = Retrier::new(ask, &store.path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let work = move || {
        let mut refused = 0_u64;
        let mut tell = |line, why: String| {
            refused += 1;
            log!(target: "mprun", Level::Error, "dead letter {line} stays: {why}");
        };
        let outcome = runtime.block_on(retrier.all(&*chosen, &mut tell));
        let is_good = outcome.is_ok() && refused == 0;
        match outcome {
            Ok(put) => {
                log!(target: "mprun", Level::Info, "{} put back", count(put, "dead letter"));
            }
            Err(error) => {
                log!(target: "mprun", Level::Error, "dead letters can't be tried again: {}", error.error)
            }
        }
        sender.send(Notice::RetriesDone(is_good));
    };
    thread::Builder::new().name("letters".to_owned()).stack_size(4 * SMALL_STACK).spawn(work).map(drop)
}
