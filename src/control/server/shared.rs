//! What all connections of the control API share.

use super::ending::Ending;
use super::events::Events;
use super::late::LISTEN_RETRY_DELAY;
use super::letters::LetterReader;
use super::neighbours::Neighbours;
use super::state::ServerState;
use super::web::site::Site;
use crate::control::protocol::{Open, Opened, Reason, Refused};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// For tokens that are read right after the start.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// What does not change in a run.
#[derive(Debug)]
pub(crate) struct Place {
    /// The path of the control socket.
    pub socket: Option<PathBuf>,
    /// Of the pipeline.
    pub state_folder: PathBuf,
}

/// Why there is no page.
#[derive(Clone, Debug)]
pub(super) enum NoPage {
    /// The file wants none.
    NotWanted,
    /// Its address can't be had, for this reason. It is tried again.
    NoAddress(String),
}

impl NoPage {
    /// What is to be said of it, if anything.
    fn fault(&self) -> Option<String> {
        match self {
            NoPage::NotWanted => None,
            NoPage::NoAddress(why) => {
                let seconds = LISTEN_RETRY_DELAY.as_secs();
                Some(format!("there is no page: {why}; mprun tries it again every {seconds} s"))
            }
        }
    }
}

/// The page, if there is one.
type Served = Result<Arc<Site>, NoPage>;

#[derive(Clone)]
pub(super) struct Shared {
    pub state: ServerState,
    pub events: Events,
    pub letters: LetterReader,
    pub neighbours: Neighbours,
    pub place: Arc<Place>,
    pub ending: Ending,
    /// What is served over TCP now; not sent: what the file says is yet to be done.
    site: Arc<watch::Sender<Option<Served>>>,
}

impl Shared {
    pub(super) fn new(state: ServerState, letters: LetterReader, place: Place, ending: Ending) -> Shared {
        let (events, neighbours, site) = (Events::default(), Neighbours::default(), Arc::default());
        Shared { state, events, letters, neighbours, place: Arc::new(place), ending, site }
    }

    pub(super) fn set_site(&self, site: Served) {
        let address = site.as_ref().ok().map(|site| site.base());
        self.state.set_page(address, site.as_ref().err().and_then(NoPage::fault));
        self.site.send_replace(Some(site));
    }

    /// What the file says is yet to be done.
    pub(super) fn unset_site(&self) {
        self.state.set_page(None, None);
        self.site.send_replace(None);
    }

    /// A link that opens the page once.
    pub(super) async fn open(&self, wanted: &Open) -> Result<Opened, Refused> {
        let mut site = self.site.subscribe();
        let served = timeout(START_TIMEOUT, site.wait_for(Option::is_some)).await;
        let site = served.map_err(|_| {
            let why =
                "there is no page yet: the files of its tokens are not read, is their file system there?";
            Refused::new(Reason::NotServed, why)
        })?;
        let site = site.ok().and_then(|site| site.clone());
        let site = site.unwrap_or(Err(NoPage::NotWanted)).map_err(|absent| {
            let help = "there is no page: add `[control] listen = \"127.0.0.1:7070\"` to the pipeline file";
            Refused::new(Reason::NotServed, absent.fault().unwrap_or_else(|| help.to_owned()))
        })?;
        site.open(wanted.read_only)
    }
}
