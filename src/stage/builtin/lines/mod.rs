//! `lines`: the lines of files, once or as they grow.

mod copies;
mod fingerprint;
mod follow;
mod once;
mod saved;
mod scan;
mod search;
mod tracked;
mod watch;

use crate::stage::lines;
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Progress, Settings, Source};
use follow::Follow;
use once::Once;
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<FileLines, Failure> + use<> {
    with.about("Emits the lines of files, without their line ends.");
    let doc = "The file, or a pattern for several (`logs/*.log`, `**/*.txt`): they are read in the order of their names.";
    let is_pattern = |path: &String| match (path.is_empty(), glob::Pattern::new(path)) {
        (true, _) => Err("can't be empty".to_owned()),
        (_, Err(error)) => Err(format!("is not a pattern: {}", error.msg)),
        (false, Ok(_)) if is_descriptor(path) => Err(format!(
            "can't be `{path}`: a worker has no descriptor of mprun's; the stage `stdin` reads standard input, so write `COMMAND | mprun …` for `<(COMMAND)`"
        )),
        (false, Ok(_)) => Ok(()),
    };
    let path: String = with.key("path", doc).check(is_pattern).required();
    let doc =
        "Keeps reading at the end of the files: waits for more lines and for new files, as `tail -F` does.";
    let follow = with.key("follow", doc).or(false);
    let framing = lines::framing(with);
    let doc = "With `follow`: a file that was renamed or removed is followed until nothing was written to it for this time and no program has it open for writing.";
    let rotate_wait = with.key("rotate_wait", doc).or(Duration::from_secs(5));
    with.path_of_machine();
    with.remember(Persistence::State);
    with.ends(!follow);
    if !follow {
        with.needs_files(&path);
    }
    move |context| {
        let pattern = context.path(path);
        Ok(if follow {
            FileLines::Follow(Box::new(Follow::open(pattern, framing, rotate_wait)?))
        } else {
            FileLines::Once(Box::new(Once::open(pattern, framing)))
        })
    }
}

/// A worker's own descriptors are none of the file's business.
fn is_descriptor(path: &str) -> bool {
    path == "/dev/stdin" || path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/")
}

/// See [`build`].
pub(super) enum FileLines {
    Once(Box<Once>),
    Follow(Box<Follow>),
}

impl Source for FileLines {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        match self {
            FileLines::Once(once) => once.next(out),
            FileLines::Follow(follow) => follow.next(out),
        }
    }

    fn readable(&self) -> Option<BorrowedFd<'_>> {
        match self {
            FileLines::Once(once) => once.readable(),
            FileLines::Follow(follow) => follow.readable(),
        }
    }

    /// Files grow, go and come: which one is read first depends on when it is looked at.
    fn repeats(&self) -> bool {
        matches!(self, FileLines::Once(_))
    }

    fn progress(&self) -> Option<Progress> {
        match self {
            FileLines::Once(once) => once.progress(),
            FileLines::Follow(_) => None,
        }
    }

    fn save(&self, state: &mut Vec<u8>) {
        match self {
            FileLines::Once(once) => once.save(state),
            FileLines::Follow(follow) => follow.save(state),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        match self {
            FileLines::Once(once) => once.restore(state),
            FileLines::Follow(follow) => follow.restore(state),
        }
    }
}
