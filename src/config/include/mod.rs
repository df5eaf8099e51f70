//! `include`: further files with stages and queues of the same pipeline.
//!
//! The files are read together with the pipeline's own, in one step, by a process that may wait for a disk; from then on their
//! texts go with its text ([`Texts`]), so that nothing that is made of it later reads a file.

mod merge;
mod read;
mod watched;

pub(super) use merge::merge;
pub(super) use read::{patterns, read};
pub use watched::Watched;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::diagnostic::{Source, Span};

/// The text of a pipeline file, and those of the files that it includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// The file's own.
    pub main: String,
    /// The others, in the order in which they were read.
    pub included: Vec<IncludedText>,
}

/// An included file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncludedText {
    /// Its path, as it is found from the pipeline file.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// An included file whose places can be shown.
pub(super) struct Included {
    pub path: PathBuf,
    pub source: Arc<Source>,
}

impl Included {
    /// The folder at which its paths start.
    fn folder(&self) -> PathBuf {
        let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        absolute.parent().unwrap_or(Path::new("/")).to_owned()
    }
}

/// Where the paths start of what is written at a place; `None`: at the pipeline file's folder.
pub(super) fn folder_of(span: &Span, included: &[Included]) -> Option<PathBuf> {
    let file = included.iter().find(|file| Arc::ptr_eq(&file.source, span.source()));
    file.map(Included::folder)
}
