//! What a pipeline file names of the file system: where it writes, and what it needs to see.

use crate::config::{Pipeline, Stage, Task};
use crate::stage::Registry;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A service has these for itself.
const PRIVATE: [&str; 2] = ["/tmp", "/var/tmp"];
/// What is there is no file of a disk.
const NO_DISK: [&str; 3] = ["/dev", "/proc", "/sys"];

/// All paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    /// Folders in which files are made and renamed; the file alone where the folder is that of the whole system.
    pub written: BTreeSet<PathBuf>,
    /// What is read: folders, programs, files.
    pub read: BTreeSet<PathBuf>,
}

impl Paths {
    /// What mprun and its stages write and read by the file's own word. What programs do beyond that isn't known.
    pub(crate) fn of(pipeline: &Pipeline, registry: &Registry) -> Paths {
        let mut paths = Paths::default();
        for stage in &pipeline.stages {
            paths.add(stage, pipeline.folder_of(stage), registry);
        }
        if let Some(folder) = pipeline.control.socket.as_deref().and_then(Path::parent) {
            paths.written.insert(folder.to_owned());
        }
        paths.written.retain(|path| !is_in(path, &NO_DISK));
        let all = paths.written.clone();
        paths.written.retain(|path| !path.ancestors().skip(1).any(|above| all.contains(above)));
        paths
    }

    fn add(&mut self, stage: &Stage, folder: &Path, registry: &Registry) {
        self.written.extend(stage.log_file.as_ref().map(|file| parent(folder.join(&file.path))));
        match &stage.work.task {
            Task::Use { name, with } => {
                self.written
                    .extend(registry.written_folder(&stage.name, name, with).map(|path| folder.join(path)));
                self.read.extend(registry.input_files(name, with).map(|path| folder.join(path)));
            }
            Task::Command(command) => {
                let program = Some(command.invocation.program()).filter(|title| title.starts_with('/'));
                let named = [command.cwd.as_deref(), program.map(Path::new)].into_iter().flatten();
                let named = named.chain(command.env_file.iter().map(PathBuf::as_path));
                self.read.extend(named.map(|path| folder.join(path)));
            }
        }
    }

    /// Those that a service does not see, as it has a folder of this name for itself.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &PathBuf> {
        self.written.union(&self.read).filter(|path| is_private(path))
    }
}

/// Whether a service has such a path for itself.
pub(crate) fn is_private(path: &Path) -> bool {
    is_in(path, &PRIVATE)
}

fn is_in(path: &Path, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// The folder of a file; never the whole system for the sake of one file.
fn parent(file: PathBuf) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("/") => folder.to_owned(),
        Some(_) | None => file,
    }
}
