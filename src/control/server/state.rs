//! What all connections share.

use super::ask::{Ask, ask};
use super::broker_letters;
use super::letter_count::LetterCount;
use super::retry::Retrier;
use crate::control::protocol::{Answer, Refused, Reply, Request, Status};
use crate::dead_letter::Store;
use crate::metrics::Monotone;
use crate::status::{Samples, Snapshot};
use crate::sys::cpus;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone)]
pub(super) struct ServerState {
    supervisor: Ask,
    samples: Arc<Mutex<Samples>>,
    /// Its lock is the right to retry dead letters: a queue remembers only the last one.
    pub retrier: Arc<tokio::sync::Mutex<Retrier>>,
    letters: Arc<LetterCount>,
    /// What metrics have said: no counter goes back.
    pub monotone: Arc<Mutex<Monotone>>,
    /// The address of the page, and why it has none though the file wants it.
    page: Arc<Mutex<(Option<String>, Option<String>)>>,
}

impl ServerState {
    pub(super) fn new(supervisor: Ask, dead_letters: &Store) -> ServerState {
        let retrier = Retrier::new(Arc::clone(&supervisor), &dead_letters.path);
        ServerState {
            supervisor,
            samples: Arc::new(Mutex::new(Samples::new(cpus::ticks()))),
            retrier: Arc::new(tokio::sync::Mutex::new(retrier)),
            letters: Arc::new(LetterCount::new(dead_letters)),
            monotone: Arc::default(),
            page: Arc::default(),
        }
    }

    pub(super) fn set_page(&self, address: Option<String>, fault: Option<String>) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = (address, fault);
    }

    /// A snapshot with the rates since an earlier one, the number of dead letters, and the address of the page.
    pub(super) async fn ask(&self, request: Request) -> Reply {
        let mut answer = ask(&self.supervisor, request).await?;
        if let Answer::Status(snapshot) = &mut answer {
            if let Ok(mut samples) = self.samples.lock() {
                samples.rate(snapshot, cpus::ticks);
            }
            let page = self.page.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (snapshot.page, snapshot.page_fault) = page;
            self.letters.fill_in(snapshot).await;
            broker_letters::fill_in(&self.supervisor, snapshot).await;
        }
        Ok(answer)
    }

    /// None: the supervisor does not answer.
    pub(super) async fn snapshot(&self) -> Option<Box<Snapshot>> {
        match self.ask(Request::Status(Status::default())).await {
            Ok(Answer::Status(snapshot)) => Some(snapshot),
            Ok(_) | Err(Refused { .. }) => None,
        }
    }
}
