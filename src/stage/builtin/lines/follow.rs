//! Following files as they grow, as `tail -F` does: through renames, truncation, links that are switched, and files
//! that come later.
//!
//! A file is known by what was read of it, not by its name or inode: see [`Tracked`]. Which names lead to which files is
//! looked at in [`scan`](Follow::scan) after an event that can have changed it; which new file is a copy of one that
//! was read, in `copies.rs`.
//!
//! # What a kill leaves
//!
//! Positions are published in the same step as the lines before them, so only what is outside counts:
//!
//! | killed … | the next worker |
//! |---|---|
//! | after a read, before its lines are out | reads them again |
//! | after a file was cut or written anew, before that was saved | finds other bytes before its position: from the start |
//! | after a rename, before the old file is read to its end | finds the old file by its inode in the folder, and by what was read of it that it is the one |
//! | while a copy is made | compares the new file with what it knows of the old one, which is saved |
//! | after a file ended, before its name comes back | knows it by its saved end |
//! | after the last half line of a renamed file, before the file is forgotten | waits for its end once more; nothing is left to emit |

use super::saved::Saved;
use super::tracked::{Emitted, Filled, Identity, Lost, Standing, Tracked};
use super::watch::{Changes, Watch};
use crate::file_watch::POLL_INTERVAL;
use crate::framing::Framing;
use crate::stage::{Emitter, Failure, Next};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The time for which lines are gathered: many files that grow now and then cost one step, not one each.
const GATHER_TIME: Duration = Duration::from_millis(10);

/// Ended files that are remembered, or as many as are followed.
const MAX_ENDED: usize = 1000;

/// The number of a file in this worker.
pub(super) type Id = u64;

/// What becomes of a file that is new.
pub(super) enum Class {
    /// Its lines may be emitted, from its position on.
    Known,
    /// Later.
    Wait,
    /// After that other one was looked at.
    After(Id),
}

pub(in crate::stage) struct Follow {
    pub(super) pattern: PathBuf,
    pub(super) framing: Framing,
    pub(super) rotate_wait: Duration,
    pub(super) watch: Watch,
    pub(super) files: BTreeMap<Id, Tracked>,
    /// Where they are. One that was removed was where another one is.
    pub(super) places: HashMap<PathBuf, Vec<Id>>,
    pub(super) next_id: Id,
    /// Files of a saved position, still to be found.
    pub(super) saved: Vec<Saved>,
    /// Files that were followed to their end, or lost, the latest last: their names or copies may come back.
    pub(super) ended: VecDeque<Saved>,
    /// The same as they are saved.
    ended_state: Vec<u8>,
    /// Files that were open before a position was restored.
    pub(super) pool: Vec<Tracked>,
    /// Files that were cut or are gone since the last look at the names.
    pub(super) lost: Vec<Lost>,
    /// Places where a file was removed since then.
    pub(super) removed: HashSet<PathBuf>,
    /// Faults that were said, and are still there.
    pub(super) said: BTreeSet<(PathBuf, String)>,
    /// Files that can't be followed.
    pub(super) refused: HashSet<Identity>,
    pub(super) scans: u64,
    /// Names may lead to other files than before.
    must_scan: bool,
    /// Files that may have grown.
    ready: VecDeque<Id>,
    is_ready: HashSet<Id>,
    /// The first of them was read from since its turn began.
    had_its_turn: bool,
    /// Not before then changes are looked at.
    gather_until: Instant,
    is_gathering: bool,
    look_again: Instant,
}

impl Follow {
    pub(crate) fn open(pattern: PathBuf, framing: Framing, rotate_wait: Duration) -> Result<Follow, Failure> {
        let now = Instant::now();
        Ok(Follow {
            pattern,
            framing,
            rotate_wait,
            watch: Watch::new()?,
            files: BTreeMap::new(),
            places: HashMap::new(),
            next_id: 0,
            saved: Vec::new(),
            ended: VecDeque::new(),
            ended_state: Vec::new(),
            pool: Vec::new(),
            lost: Vec::new(),
            removed: HashSet::new(),
            said: BTreeSet::new(),
            refused: HashSet::new(),
            scans: 0,
            must_scan: true,
            ready: VecDeque::new(),
            is_ready: HashSet::new(),
            had_its_turn: false,
            gather_until: now,
            is_gathering: false,
            look_again: now,
        })
    }

    pub(crate) fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        loop {
            if self.must_scan {
                self.must_scan = false;
                self.scan()?;
                if !self.lost.is_empty() {
                    // The copies of these files are found by the next look: until then each new file may be one.
                    continue;
                }
            }
            if let Some(next) = self.step(out)? {
                return Ok(next);
            }
            if self.must_scan {
                continue;
            }
            // Looked at after the files: what came in between is seen by the next pass.
            let now = Instant::now();
            self.is_gathering = self.watch.has_changes() && now < self.gather_until;
            if self.is_gathering {
                return Ok(Next::Wait(Some(self.gather_until)));
            }
            if self.watch.has_changes() {
                self.gather_until = now + GATHER_TIME;
                let changes = self.watch.changes();
                self.note(changes);
                continue;
            }
            let due = self.wake_due(now);
            if self.ready.is_empty() && !self.must_scan {
                return Ok(Next::Wait(due));
            }
        }
    }

    /// One line of one file. It stays with a file while that has lines, so that the lines of several files come in
    /// blocks, but reads no second piece of it while others wait.
    fn step(&mut self, out: &mut Emitter<'_>) -> Result<Option<Next>, Failure> {
        while let Some(&id) = self.ready.front() {
            if !self.is_known(id)? {
                continue;
            }
            let Some(file) = self.files.get_mut(&id) else { continue };
            match file.emit(out)? {
                Emitted::Item(next) => return Ok(Some(next)),
                Emitted::Done => {
                    self.end(id);
                    continue;
                }
                Emitted::All => {}
            }
            if std::mem::take(&mut self.had_its_turn) && self.ready.len() > 1 {
                self.ready.rotate_left(1);
                continue;
            }
            match file.read(self.rotate_wait)? {
                Filled::More => self.had_its_turn = true,
                Filled::Nothing => self.rest(id),
                Filled::NoSize => self.refuse(id)?,
                Filled::Cut(lost) => {
                    self.lost.push(lost);
                    // A copy of what it was must be found before anything else is emitted.
                    self.must_scan = true;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Whether the lines of this file may be emitted; if not, it is put aside.
    fn is_known(&mut self, id: Id) -> Result<bool, Failure> {
        let Some(file) = self.files.get(&id) else {
            self.rest(id);
            return Ok(false);
        };
        if file.standing == Standing::Known {
            return Ok(true);
        }
        match self.classify(id)? {
            Class::Known => return Ok(true),
            Class::Wait => self.rest(id),
            Class::After(other) => {
                self.rest(id);
                self.wake(id);
                self.wake_first(other);
            }
        }
        Ok(false)
    }

    /// It is read to its end and has lost its name.
    fn end(&mut self, id: Id) {
        self.rest(id);
        let Some(file) = self.files.remove(&id) else { return };
        if !file.is_unlinked() && file.position() > 0 {
            self.ended.push_back(Saved { has_ended: true, ..file.saved() });
            let most = MAX_ENDED.max(self.files.len());
            self.ended.drain(..self.ended.len().saturating_sub(most));
            self.note_ended();
        }
        let (path, place, end) = (file.path.display(), file.place.display(), file.position());
        match file.is_unlinked() {
            true => log::info!("`{path}` was removed, and is read to its end at byte {end}"),
            false if file.place != file.path => {
                log::info!("`{path}` was renamed (`{place}`), and is read to its end at byte {end}");
            }
            false => log::info!("`{path}` was renamed, and is read to its end at byte {end}"),
        }
    }

    /// They have changed.
    pub(super) fn note_ended(&mut self) {
        self.ended_state.clear();
        self.ended.iter().for_each(|ended| ended.save(&mut self.ended_state));
    }

    fn refuse(&mut self, id: Id) -> Result<(), Failure> {
        self.rest(id);
        let Some(file) = self.files.remove(&id) else { return Ok(()) };
        let why = "its size is told as 0 although there is something in it, as in /proc: how it grows can't be seen";
        let text = format!("`{}` can't be followed: {why}", file.path.display());
        if super::search::is_literal(&self.pattern) {
            return Err(Failure::fatal(text));
        }
        log::error!("{text}");
        self.refused.insert(file.identity);
        Ok(())
    }

    fn note(&mut self, changes: Changes) {
        self.must_scan |= changes.names || changes.anything;
        self.removed.extend(changes.removed);
        if changes.anything {
            self.wake_all();
        }
        let changed = changes.files.iter().filter_map(|place| self.places.get(place)).flatten();
        for id in changed.copied().collect::<Vec<_>>() {
            self.wake(id);
        }
    }

    /// Wakes the files whose time has come; when the next one's will.
    fn wake_due(&mut self, now: Instant) -> Option<Instant> {
        let rotate_wait = self.rotate_wait;
        let due = |file: &Tracked| match (file.standing, file.leaving) {
            (Standing::Held { since, .. }, _) => Some(since + rotate_wait),
            (_, leaving) => leaving.map(|leaving| leaving.due),
        };
        let dues: Vec<(Id, Instant)> =
            self.files.iter().filter_map(|(&id, file)| due(file).map(|due| (id, due))).collect();
        let mut next = dues.iter().map(|(_, due)| *due).min();
        dues.iter().filter(|(_, due)| *due <= now).for_each(|(id, _)| self.wake(*id));
        if self.watch.is_polling() {
            if now >= self.look_again {
                self.look_again = now + POLL_INTERVAL;
                self.must_scan = true;
                self.wake_all();
            }
            next = Some(next.map_or(self.look_again, |next| next.min(self.look_again)));
        }
        next
    }

    /// The names were not as they seemed.
    pub(super) fn look_again(&mut self) {
        self.must_scan = true;
    }

    pub(super) fn wake(&mut self, id: Id) {
        if self.is_ready.insert(id) {
            self.ready.push_back(id);
        }
    }

    fn wake_first(&mut self, id: Id) {
        self.rest(id);
        self.is_ready.insert(id);
        self.ready.push_front(id);
    }

    pub(super) fn wake_all(&mut self) {
        self.files.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.wake(id));
    }

    fn rest(&mut self, id: Id) {
        if self.is_ready.remove(&id) {
            match self.ready.front() == Some(&id) {
                true => drop(self.ready.pop_front()),
                false => self.ready.retain(|other| *other != id),
            }
        }
    }

    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        (!self.is_gathering).then(|| self.watch.readable())
    }

    pub(crate) fn save(&self, state: &mut Vec<u8>) {
        self.files.values().for_each(|file| file.save(state));
        self.saved.iter().for_each(|saved| saved.save(state));
        state.extend_from_slice(&self.ended_state);
    }

    pub(crate) fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        self.pool.extend(std::mem::take(&mut self.files).into_values());
        self.saved.clear();
        self.ended.clear();
        while !state.is_empty() {
            let saved = Saved::take(&mut state)?;
            match saved.has_ended || saved.is_lost {
                true => self.ended.push_back(saved),
                false => self.saved.push(saved),
            }
        }
        self.note_ended();
        self.ready.clear();
        self.is_ready.clear();
        self.places.clear();
        self.lost.clear();
        self.had_its_turn = false;
        self.must_scan = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
