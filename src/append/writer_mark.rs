//! Whose lines stand behind what counts of a file: a mark that lasts with the file, as an extended attribute.
//!
//! The token of a stage says up to where a file counts. A machine that comes back, or a run after a power cut, cuts the
//! file to that length. Meanwhile another machine, stage or pipeline may have written there, and its locks ([`Claim`])
//! are gone. So a writer that begins to count a file gives it a mark, a random number, and its token names the same one. A
//! writer that finds the mark of another token, or another writer at work, makes it `several` before its first write.
//! Only a file whose mark is that of the token is cut.
//!
//! # Crash table
//!
//! | killed … | left behind | what who comes back does |
//! |---|---|---|
//! | before the mark | the file and the token as they were | begins again |
//! | after the mark, before the token names it | a mark that no token names | cuts nothing, begins again |
//! | after that, in a turn, at its end | the mark that the token names | cuts to the length that counts |
//! | and another has begun alone | the other's mark | cuts nothing, makes it `several` |
//! | … and that one is killed, and comes back, too | `several` | neither cuts |
//! | and another works at the same time | `several` | neither cuts |
//! | and begins again while the kernel is still busy with the death | the claim of the dead for a moment | waits for that, then as above |
//! | another, before it has made it `several` | the mark of the first, and no line of the other | cuts: all of it is its own |
//!
//! Two that begin at once: each claims the file, marks it, and only then looks for the claims of others. One that claims
//! it after this look makes the mark `several` behind it.
//!
//! A file system without extended attributes has no marks, so nothing is cut there: lines may come twice.

use super::appender::Appender;
use super::claim::Claim;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const NAME: &str = "user.mprun.writer";
const SEVERAL: &str = "several";
/// In a token: the file has no mark.
pub(crate) const NO_MARK: u64 = 0;

/// What a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    One(u64),
    Several,
    /// Only who may read the file can know.
    Hidden,
}

/// What a writer does before its first write of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The file is still this token's.
    Keep,
    /// It is this token's from now on.
    Begin,
    /// It belongs to no single token: `several`.
    Share,
}

/// `known`: the mark that the token names. `is_alone`: no claim of another is seen.
fn step(found: Found, known: u64, is_alone: bool, is_empty: bool) -> Step {
    match found {
        _ if !is_alone => Step::Share,
        Found::One(mark) if mark == known => Step::Keep,
        Found::One(_) if known != NO_MARK => Step::Share,
        Found::Several if is_empty => Step::Begin,
        Found::Several | Found::Hidden => Step::Share,
        Found::Nothing | Found::One(_) => Step::Begin,
    }
}

/// A process that was killed keeps its claim until the kernel is through with it, which a busy computer takes its time for.
const DYING_FOR: Duration = Duration::from_secs(1);
const LOOKED_EVERY: Duration = Duration::from_millis(5);

impl<F: AsFd> Appender<F> {
    /// A claim to the file, if it can be read. Claims of processes that were just killed are waited for: they would make the file `several` for
    /// good. One that stays is another writer's.
    pub(crate) fn claim(&self, whose: &[u8]) -> io::Result<Option<Claim>> {
        if !self.is_file() {
            return Ok(None);
        }
        let Ok(reader) = self.reader() else { return Ok(None) };
        let (claim, begun) = (Claim::new(reader, whose)?, Instant::now());
        while !claim.is_alone() && begun.elapsed() < DYING_FOR && self.found()? != Found::Several {
            std::thread::sleep(LOOKED_EVERY);
        }
        Ok(Some(claim))
    }

    /// Before the first write of a turn: the mark of a file that counts by its length ([`NO_MARK`]: there can't be one), or
    /// `None` where others write it, too. `known`: the mark that the token names, if it is about this file.
    pub(crate) fn mark(&self, claim: Option<&Claim>, known: u64) -> io::Result<Option<u64>> {
        if !self.is_file() {
            return Ok(None);
        }
        let found = self.found()?;
        let is_alone = || claim.is_some_and(Claim::is_alone);
        match step(found, known, is_alone(), self.length()? == 0) {
            Step::Keep => return Ok(Some(known)),
            Step::Begin => {
                let mark = getrandom::u64()?.max(NO_MARK + 1);
                let is_set = self.set(&text(mark), found)?;
                if is_alone() {
                    return Ok(Some(if is_set { mark } else { NO_MARK }));
                }
            }
            Step::Share if found == Found::Several => return Ok(None),
            Step::Share => {}
        }
        self.set(SEVERAL, found)?;
        Ok(None)
    }

    /// Whether all behind what counts was written under the token that names this mark.
    pub(crate) fn has_mark(&self, mark: u64) -> io::Result<bool> {
        Ok(mark != NO_MARK && self.found()? == Found::One(mark))
    }

    fn found(&self) -> io::Result<Found> {
        let mut bytes = [0; 32];
        match fgetxattr(self.target(), NAME, &mut bytes) {
            Ok(length) => {
                let mark = std::str::from_utf8(&bytes[..length])
                    .ok()
                    .and_then(|it| u64::from_str_radix(it, 16).ok());
                // Also what a later version may write.
                Ok(mark.map_or(Found::Several, Found::One))
            }
            Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(Found::Nothing),
            Err(Errno::RANGE) => Ok(Found::Several),
            Err(Errno::ACCESS | Errno::PERM) => Ok(Found::Hidden),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the file has the mark now. Where it had none, it can do without; another's must go.
    fn set(&self, mark: &str, found: Found) -> io::Result<bool> {
        match fsetxattr(self.target(), NAME, mark.as_bytes(), XattrFlags::empty()) {
            Ok(()) => Ok(true),
            Err(_) if found == Found::Nothing => Ok(false),
            Err(Errno::NOTSUP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn text(mark: u64) -> String {
    format!("{mark:016x}")
}

#[cfg(test)]
mod tests {
    use super::super::{CountedFile, UndoLog, after_power_cut};
    use super::*;
    use std::fs::{self, File, OpenOptions};
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    /// A file of its own.
    fn file() -> PathBuf {
        let path = std::env::temp_dir().join(format!("mprun-mark-{:x}", fastrand::u64(..)));
        fs::write(&path, "").unwrap();
        path
    }

    /// One that writes the file: what outlives its death is its token.
    struct Machine<'a> {
        name: &'static str,
        path: &'a Path,
        token: Option<CountedFile>,
        /// How many of its lines were acknowledged.
        done: usize,
        open: Option<(Appender<File>, Claim)>,
        /// Of the turn at hand: the mark, once it is looked for.
        mark: Option<Option<u64>>,
    }

    impl<'a> Machine<'a> {
        fn new(name: &'static str, path: &'a Path) -> Machine<'a> {
            Machine { name, path, token: None, done: 0, open: None, mark: None }
        }

        fn counted(&self, length: u64, mark: u64) -> CountedFile {
            let (path, file) =
                (self.path.as_os_str().as_bytes().to_vec(), self.open.as_ref().unwrap().0.id());
            CountedFile { name: b"a".to_vec(), path, file, length, mark }
        }

        /// Steps of a life: it opens the file, and then in each turn looks, names the mark, writes and commits.
        fn live(&mut self, steps: usize) {
            for at in 0..steps {
                if at == 0 {
                    let file = OpenOptions::new().append(true).open(self.path).unwrap();
                    let appender = Appender::new(file, UndoLog::create().unwrap()).unwrap();
                    let claim = Claim::new(appender.reader().unwrap(), self.name.as_bytes()).unwrap();
                    self.open = Some((appender, claim));
                    continue;
                }
                let (appender, claim) = self.open.as_ref().unwrap();
                match at % 4 {
                    1 => {
                        let known = self.token.as_ref().map_or(NO_MARK, |token| token.mark);
                        self.mark = Some(appender.mark(Some(claim), known).unwrap());
                    }
                    2 => {
                        let known = self.token.as_ref().map_or(NO_MARK, |token| token.mark);
                        let length = appender.length().unwrap();
                        self.token = match self.mark.unwrap() {
                            Some(mark) if mark == known => self.token.take(),
                            mark => mark.map(|mark| self.counted(length, mark)),
                        };
                    }
                    3 => appender.append(format!("{} {}\n", self.name, self.done).as_bytes()).unwrap(),
                    _ => {
                        let length = appender.length().unwrap();
                        self.token = self.mark.unwrap().map(|mark| self.counted(length, mark));
                        self.done += 1;
                    }
                }
            }
        }

        fn die(&mut self) {
            (self.open, self.mark) = (None, None);
        }

        fn come_back(&mut self) {
            self.die();
            if let Some(token) = &self.token {
                after_power_cut::cut(token, None, &UndoLog::create().unwrap()).unwrap();
            }
        }

        /// Each of its lines that was acknowledged, and how often it is there.
        fn found(&self) -> Vec<usize> {
            let text = fs::read_to_string(self.path).unwrap();
            let count = |n: usize| text.lines().filter(|line| *line == format!("{} {n}", self.name)).count();
            (0..self.done).map(count).collect()
        }
    }

    const STEPS: usize = 10;

    #[test]
    fn the_claim_of_a_process_that_dies_is_waited_for_and_that_of_another_writer_is_not() {
        let path = file();
        let open = || {
            let file = OpenOptions::new().append(true).open(&path).unwrap();
            Appender::new(file, UndoLog::create().unwrap()).unwrap()
        };
        let (before, after) = (open(), open());
        let dying = before.claim(b"before").unwrap();
        let known = before.mark(dying.as_ref(), NO_MARK).unwrap().unwrap();
        let end = std::thread::spawn(|| {
            std::thread::sleep(DYING_FOR / 20);
            drop((before, dying));
        });
        let claim = after.claim(b"after").unwrap();
        assert_eq!(after.mark(claim.as_ref(), known).unwrap(), Some(known));
        end.join().unwrap();
        let (another, claimed) = (open(), Instant::now());
        let other = another.claim(b"another").unwrap();
        assert!(claimed.elapsed() >= DYING_FOR && !other.unwrap().is_alone());
        assert_eq!(after.mark(claim.as_ref(), known).unwrap(), Some(known), "it is gone again");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn wherever_two_machines_are_killed_and_come_back_no_acknowledged_line_is_lost() {
        for (first_steps, second_steps) in (0..STEPS).flat_map(|a| (0..STEPS).map(move |b| (a, b))) {
            for (first_is_dead, second_is_dead, steps_back) in [true, false]
                .into_iter()
                .flat_map(|a| [(a, true), (a, false)])
                .flat_map(|(a, b)| [0, 2, 4, 9].map(|steps| (a, b, steps)))
            {
                let path = file();
                let (mut first, mut second) = (Machine::new("first", &path), Machine::new("second", &path));
                first.live(first_steps);
                if first_is_dead {
                    first.die();
                }
                second.live(second_steps);
                if second_is_dead {
                    second.die();
                }
                first.come_back();
                first.live(steps_back);
                second.come_back();
                first.come_back();
                for machine in [&first, &second] {
                    let case = (first_steps, second_steps, first_is_dead, second_is_dead, steps_back);
                    let found = machine.found();
                    assert!(found.iter().all(|&count| count >= 1), "{} of {case:?}: {found:?}", machine.name);
                }
                fs::remove_file(&path).unwrap();
            }
        }
    }

    #[test]
    fn a_machine_that_has_the_file_for_itself_finds_each_line_there_once() {
        for (steps, again) in (0..STEPS).flat_map(|a| (0..STEPS).map(move |b| (a, b))) {
            let path = file();
            let mut alone = Machine::new("alone", &path);
            for steps in [steps, again, 5] {
                alone.live(steps);
                alone.come_back();
            }
            let found = alone.found();
            assert!(found.iter().all(|&count| count == 1), "{steps} {again}: {found:?}");
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), alone.done);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_was_shared_is_counted_again_once_it_is_empty() {
        let path = file();
        let (mut first, mut second) = (Machine::new("first", &path), Machine::new("second", &path));
        first.live(5);
        second.live(5);
        second.die();
        assert_eq!(first.open.as_ref().unwrap().0.found().unwrap(), Found::Several);
        first.live(5);
        assert!(first.token.is_none());
        File::create(&path).unwrap();
        first.live(5);
        assert!(first.token.is_some_and(|token| token.mark != NO_MARK));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn anothers_mark_is_taken_over_only_by_a_token_that_counts_nothing_there() {
        for (found, known, is_alone, is_empty, expected) in [
            (Found::Nothing, NO_MARK, true, true, Step::Begin),
            (Found::Nothing, 7, true, false, Step::Begin),
            (Found::One(7), 7, true, false, Step::Keep),
            (Found::One(7), 7, false, false, Step::Share),
            (Found::One(8), 7, true, false, Step::Share),
            (Found::One(8), NO_MARK, true, false, Step::Begin),
            (Found::Several, NO_MARK, true, false, Step::Share),
            (Found::Several, NO_MARK, true, true, Step::Begin),
            (Found::Hidden, NO_MARK, true, true, Step::Share),
        ] {
            assert_eq!(step(found, known, is_alone, is_empty), expected, "{found:?} {known}");
        }
    }
}
