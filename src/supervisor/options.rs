//! What a run is asked for.

use super::closing::report::ReportFile;
use crate::config::LoadOptions;
use crate::dead_letter::Letter;
use crate::logs::Logging;
use crate::progress;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct RunOptions {
    /// The pipeline file.
    pub file: PathBuf,
    /// Its text, where there is no such file: the run is of a command line.
    pub text: Option<String>,
    /// What the command line adds to it.
    pub load: LoadOptions,
    /// Reload it when it changes.
    pub watch: bool,
    /// What workers log, and how.
    pub logging: Logging,
    /// When progress is shown.
    pub progress: progress::When,
    /// Where the closing summary goes, beside the log.
    pub report: Option<ReportFile>,
    /// Begin another run of the shared queues.
    pub new_run: bool,
    /// Join this run of the shared queues, and no other.
    pub only_run: Option<u64>,
    /// Dead letters to try again: then the run only works off these and what is left in the queues.
    pub retries: Option<Retries>,
}

/// Which dead letters are tried again.
#[derive(Clone)]
pub(crate) struct Retries {
    /// Whether this one is.
    pub chosen: Arc<dyn Fn(&Letter) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Retries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Retries")
    }
}
