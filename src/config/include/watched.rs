//! What else than the pipeline file itself decides what is to run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Included;
use crate::config::pipeline::Pipeline;
use crate::file_watch::FilePattern;

/// Files whose change is a change of the pipeline. All paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Included files and environment files.
    pub files: BTreeSet<PathBuf>,
    /// Folders, with patterns for names in them: a file that comes or goes there.
    pub patterns: BTreeSet<(PathBuf, String)>,
}

impl Watched {
    pub(in crate::config) fn new<'a>(
        patterns: impl Iterator<Item = &'a FilePattern>,
        included: &[Included],
    ) -> Watched {
        Watched {
            files: included.iter().map(|file| absolute(&file.path)).collect(),
            patterns: patterns
                .map(|pattern| (absolute(&pattern.folder), pattern.name().to_owned()))
                .collect(),
        }
    }

    /// The environment files, too.
    pub(in crate::config) fn add_env_files(&mut self, pipeline: &Pipeline) {
        for stage in &pipeline.stages {
            let files = stage.work.command().map_or(&[][..], |command| &command.env_file);
            self.files.extend(files.iter().map(|file| pipeline.folder_of(stage).join(file)));
        }
    }

    /// These and those.
    pub fn extend(&mut self, other: Watched) {
        self.files.extend(other.files);
        self.patterns.extend(other.patterns);
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
