//! The files that a run puts in the place of older ones once it has gone well: `replace = true` of the `file` sink.
//!
//! Its crash table is that of [`Replacement`].

use crate::config::{Pipeline, Task};
use crate::stage::{Registry, Replacement};
use log::{Level, log};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The paths of such files that the run has begun with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replacing(BTreeSet<PathBuf>);

/// How a run ended, for these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// All is through, and every item.
    Well,
    /// Another run may continue: kept queues, or dead letters.
    ToGoOn,
    /// No run continues.
    Failed,
}

impl Replacing {
    /// Those of a program before this one.
    pub(crate) fn of(paths: &[PathBuf]) -> Replacing {
        Replacing(paths.iter().cloned().collect())
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().cloned().collect()
    }

    /// A stage is about to work.
    pub(crate) fn add(&mut self, registry: &Registry, stage: &str, task: &Task, folder: &Path) {
        if let Task::Use { name, with } = task
            && let Some(path) = registry.replaced(stage, name, with)
        {
            self.0.insert(folder.join(path));
        }
    }

    /// The run continues one that may have begun with them.
    pub(crate) fn add_all(&mut self, registry: &Registry, pipeline: &Pipeline) {
        for stage in &pipeline.stages {
            self.add(registry, &stage.name, &stage.work.task, pipeline.folder_of(stage));
        }
    }

    /// All workers have ended. Whether everything was replaced that had to be.
    pub(crate) fn conclude(&self, end: RunEnd) -> bool {
        // A loop, not `all`: one that fails keeps none of the others back.
        let mut good = true;
        for path in &self.0 {
            good &= conclude(&Replacement::of(path), end);
        }
        good
    }
}

fn conclude(replacement: &Replacement, end: RunEnd) -> bool {
    let (file, fresh) = (replacement.file.display(), replacement.fresh.display());
    let said = match end {
        RunEnd::Well => match replacement.conclude() {
            Ok(true) => Ok(Some((Level::Info, format!("{file} is replaced by what this run has written")))),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        },
        RunEnd::ToGoOn if std::fs::symlink_metadata(&replacement.fresh).is_err() => Ok(None),
        RunEnd::ToGoOn => {
            let text =
                format!("{file} is not replaced: not every item is through; what was written is in {fresh}");
            Ok(Some((Level::Warn, text)))
        }
        RunEnd::Failed => replacement.abandon().map(|part| {
            let part = part?;
            let text = format!("{file} is not replaced; what was written is in {}", part.display());
            Some((Level::Warn, text))
        }),
    };
    match said {
        Ok(Some((level, text))) => log!(target: "mprun", level, "{text}"),
        Ok(None) => {}
        Err(error) => {
            log!(target: "mprun", Level::Error, "failed to put {fresh} in the place of {file}: {error}");
            return false;
        }
    }
    true
}
