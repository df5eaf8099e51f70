//! The files that an earlier run has begun with, and this one continues: they are not emptied.
//!
//! A stage's token says that the stage has begun, and is committed before the first line is written. Queues may be kept
//! without that: of a run that was killed, or stopped, before its workers had begun.
//!
//! | killed … | left behind | what the next run does |
//! |---|---|---|
//! | before the queues are kept | the file of the run before | is a new run: empties it |
//! | after that, before a worker empties the file | the same, a token that says nothing | empties it |
//! | after that, before the token is committed | an empty file, a token that says nothing | empties it again |
//! | after that | the lines that count, a token that says so | adds to it |

use crate::config::{Pipeline, Task};
use crate::stage::Registry;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BegunFiles {
    /// Which ones is not known: any file may hold what the run has written.
    Any,
    /// Files, or folders for paths with fields.
    At(BTreeSet<PathBuf>),
}

impl BegunFiles {
    /// A new run has begun with no file.
    pub(crate) fn none() -> BegunFiles {
        BegunFiles::At(BTreeSet::new())
    }

    /// Those of stages that have begun.
    pub(crate) fn of(stages: &BTreeSet<String>, pipeline: &Pipeline, registry: &Registry) -> BegunFiles {
        let place = |name: &String| {
            let stage = pipeline.stages.iter().find(|stage| stage.name == *name)?;
            place(registry, name, &stage.work.task, pipeline.folder_of(stage))
        };
        // Where a stage has written that the pipeline does not name any more can't be asked.
        stages.iter().map(place).collect::<Option<_>>().map_or(BegunFiles::Any, BegunFiles::At)
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == BegunFiles::none()
    }

    /// Whether what this stage writes to may hold lines of the earlier run: its own, or those of another stage.
    pub(crate) fn include(&self, registry: &Registry, stage: &str, task: &Task, folder: &Path) -> bool {
        match self {
            BegunFiles::Any => true,
            BegunFiles::At(begun) => place(registry, stage, task, folder)
                .is_some_and(|own| begun.iter().any(|it| it.starts_with(&own) || own.starts_with(it))),
        }
    }
}

/// Where a stage writes, if it writes files; links are followed.
fn place(registry: &Registry, stage: &str, task: &Task, folder: &Path) -> Option<PathBuf> {
    let Task::Use { name, with } = task else { return None };
    let path = folder.join(registry.written_place(stage, name, with)?);
    Some(path.canonicalize().unwrap_or(path))
}
