//! What all connections of the control API share.

use super::ending::Ending;
use super::events::Events;
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

/// The page, if there is one.
type Served = Option<Arc<Site>>;

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

    pub(super) fn set_site(&self, site: Option<Arc<Site>>) {
        self.state.set_page(site.as_ref().map(|site| site.base()));
        self.site.send_replace(Some(site));
    }

    /// A link that opens the page once.
    pub(super) async fn open(&self, wanted: &Open) -> Result<Opened, Refused> {
        let mut site = self.site.subscribe();
        let served = timeout(START_TIMEOUT, site.wait_for(Option::is_some)).await;
        let site = served.ok().and_then(Result::ok).and_then(|site| site.clone().flatten());
        let help = "there is no page: add `[control] listen = \"127.0.0.1:7070\"` to the pipeline file";
        site.ok_or_else(|| Refused::new(Reason::NotServed, help))?.open(wanted.read_only)
    }
}
