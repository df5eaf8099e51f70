//! The other pipelines of this user, as `mprun ps` lists them: asked on their control sockets, which this user may connect to.
//!
//! What is shown of them is how they are as a whole: no item, no log, no name of a stage. To look into one, its own page wants its own
//! token.

use crate::control::protocol::Neighbour;
use crate::control::{claim, client};
use crate::status::{Fate, Phase, Snapshot, StageStatus};
use nix::unistd::Uid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

/// One that is stopped does not hold up the others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// A look serves all who ask within it.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What the last look has found, and when.
type Seen = Option<(Instant, Arc<Vec<Neighbour>>)>;

/// See [`self`].
#[derive(Clone, Default)]
pub(super) struct Neighbours(Arc<Mutex<Seen>>);

impl Neighbours {
    /// All but the pipeline whose socket is `own`, by their names.
    pub(super) async fn list(&self, own: Option<&Path>) -> Arc<Vec<Neighbour>> {
        let mut seen = self.0.lock().await;
        if let Some((at, found)) = &*seen
            && at.elapsed() < LOOK_INTERVAL
        {
            return Arc::clone(found);
        }
        let found = Arc::new(look(own.map(Path::to_owned)).await);
        *seen = Some((Instant::now(), Arc::clone(&found)));
        found
    }
}

async fn look(own: Option<PathBuf>) -> Vec<Neighbour> {
    let known = spawn_blocking(move || known(own.as_deref())).await.unwrap_or_default();
    let mut asked = JoinSet::new();
    for (name, socket) in known {
        asked.spawn(async move {
            let (snapshot, phase) = client::seen(client::look(&socket, ANSWER_TIMEOUT).await)?;
            Some(describe(name, snapshot.as_ref(), phase))
        });
    }
    let mut found: Vec<Neighbour> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The names and sockets of the others. A socket of another user is nobody to ask.
fn known(own: Option<&Path>) -> Vec<(String, PathBuf)> {
    let is_mine = |socket: &Path| {
        fs::symlink_metadata(socket).is_ok_and(|found| found.uid() == Uid::effective().as_raw())
    };
    let holders = claim::known(&claim::folders_here());
    let others = holders.into_iter().filter(|holder| Some(holder.socket.as_path()) != own);
    others.filter(|holder| is_mine(&holder.socket)).map(|holder| (holder.label(), holder.socket)).collect()
}

fn describe(name: String, snapshot: Option<&Snapshot>, phase: Option<Phase>) -> Neighbour {
    let stages = snapshot.map_or(&[][..], |snapshot| &snapshot.stages);
    let fails = |fate: &Fate| *fate == Fate::GaveUp;
    Neighbour {
        name,
        phase,
        paused: snapshot.is_some_and(|snapshot| snapshot.paused),
        uptime: snapshot.map(|snapshot| snapshot.uptime),
        processes: stages.iter().map(StageStatus::expected).sum(),
        running: stages.iter().map(|stage| stage.running).sum(),
        failing: stages.iter().filter(|stage| stage.failing.is_some() || fails(&stage.fate)).count(),
        letters: snapshot.map_or(0, |snapshot| snapshot.letters.letters),
        page: snapshot.and_then(|snapshot| snapshot.page.clone()),
    }
}
