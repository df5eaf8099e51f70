//! Which names lead to which files by now.

use super::copies::log_copy;
use super::fingerprint::{Known, SPAN, bytes_at};
use super::follow::{Follow, Id};
use super::saved::{Recognized, Saved};
use super::search::{self, Findings};
use super::tracked::{HowLost, Identity, Lost, Standing, Tracked, open};
use crate::stage::Failure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Looks until no folder is new, so often at most: somebody may be making folders all the time.
const MAX_SEARCHES: u32 = 8;

/// A file that is renamed again and again is looked for so often.
const MAX_OPENINGS: u32 = 5;

/// A name that matches, and the file that it leads to.
struct Here {
    path: PathBuf,
    place: PathBuf,
    identity: Identity,
}

/// The names of some folders by their inodes, each folder read once.
#[derive(Default)]
struct Folders(HashMap<PathBuf, HashMap<u64, PathBuf>>);

impl Folders {
    fn find(&mut self, beside: &Path, inode: u64) -> io::Result<Option<PathBuf>> {
        let Some(folder) = beside.parent() else { return Ok(None) };
        if !self.0.contains_key(folder) {
            let mut names = HashMap::new();
            // A file that is renamed meanwhile may be left out of one reading.
            for _ in 0..2 {
                names.extend(fs::read_dir(folder)?.flatten().map(|entry| (entry.ino(), entry.path())));
            }
            self.0.insert(folder.to_owned(), names);
        }
        Ok(self.0.get(folder).and_then(|names| names.get(&inode)).cloned())
    }

    /// Opens the file with this inode, which was at that place a moment ago or is beside the other.
    fn open(
        &mut self,
        place: Option<PathBuf>,
        beside: &Path,
        inode: u64,
    ) -> io::Result<Option<(File, PathBuf)>> {
        let mut place = place;
        for _ in 0..MAX_OPENINGS {
            let Some(there) =
                place.take().map_or_else(|| self.find(beside, inode), |place| Ok(Some(place)))?
            else {
                return Ok(None);
            };
            match open_with_room(&there) {
                Ok(file) if file.metadata()?.ino() == inode => return Ok(Some((file, there))),
                Err(error) if !is_missing(&error) => return Err(error),
                // It was renamed since.
                Ok(_) | Err(_) => beside.parent().map_or((), |folder| drop(self.0.remove(folder))),
            }
        }
        Ok(None)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Follow {
    /// Takes the names as they are now. One pass, however many files there are. Watches first, then looks: what comes
    /// after the look is reported by a watch.
    pub(super) fn scan(&mut self) -> Result<(), Failure> {
        self.scans += 1;
        let lost_before = self.lost.len();
        let mut found = self.search()?;
        let mut faults = std::mem::take(&mut found.faults);
        let mut here = here(found, &mut faults);
        let mut folders = Folders::default();
        let shut = self.find_saved(&here, &mut folders, &mut faults)?;
        // It may be readable by now, and its position is known: it is no new file.
        here.retain(|here| !shut.contains(&here.identity));
        let mut unseen: BTreeSet<Id> = self.files.keys().copied().collect();
        let new = self.recognize(here, &mut unseen);
        let new = self.take_leave(new, unseen, &mut folders, &mut faults)?;
        for here in new {
            self.begin(here, &mut faults)?;
        }
        self.places.clear();
        for (&id, file) in &self.files {
            self.places.entry(file.place.clone()).or_default().push(id);
        }
        let shut = self.saved.iter().map(|saved| saved.place.clone());
        self.watch.follow(self.places.keys().cloned().chain(shut).collect());
        self.removed.clear();
        self.say(faults);
        if self.lost.len() > lost_before {
            // A copy may have been made since this look.
            self.look_again();
            return Ok(());
        }
        self.settle_lost()
    }

    fn search(&mut self) -> Result<Findings, Failure> {
        let mut searches = 0;
        loop {
            let mut found = search::search(&self.pattern)?;
            let mut folders = found.folders.clone();
            // One that can't be opened may be shut where no name leads to it any more.
            let leaving = self.files.values().filter(|file| file.leaving.is_some()).map(|file| &file.place);
            for place in leaving.chain(self.saved.iter().map(|saved| &saved.place)) {
                folders.extend(
                    place
                        .parent()
                        .filter(|folder| !found.folders.contains_key(*folder))
                        .map(|folder| (folder.to_owned(), search::Names::default())),
                );
            }
            searches += 1;
            let is_new = self.watch.aim(folders, &mut found.faults);
            if is_new {
                // What was written before the watch began was not reported.
                self.wake_all();
            }
            if !is_new || searches == MAX_SEARCHES {
                return Ok(found);
            }
        }
    }

    /// Files that are followed already have a name again, or another one. What is left is new.
    fn recognize(&mut self, here: Vec<Here>, unseen: &mut BTreeSet<Id>) -> HashMap<PathBuf, Here> {
        let known: HashMap<Identity, Id> = self.files.iter().map(|(&id, file)| (file.identity, id)).collect();
        let mut new = HashMap::new();
        let mut taken: BTreeSet<(u64, u64)> = BTreeSet::new();
        for here in here {
            match known.get(&here.identity) {
                Some(id) => {
                    if unseen.remove(id)
                        && let Some(file) = self.files.get_mut(id)
                    {
                        file.rename(here.path, here.place);
                        file.leaving = None;
                    }
                }
                None if self.refused.contains(&here.identity) => {}
                // A second name of the same file brings nothing.
                None if !taken.insert((here.identity.device, here.identity.inode)) => {}
                None => drop(new.insert(here.path.clone(), here)),
            }
        }
        new
    }

    /// No name that matches leads to these files any more.
    fn take_leave(
        &mut self,
        mut new: HashMap<PathBuf, Here>,
        unseen: BTreeSet<Id>,
        folders: &mut Folders,
        faults: &mut Vec<(PathBuf, io::Error)>,
    ) -> Result<Vec<Here>, Failure> {
        let mut reported: BTreeSet<PathBuf> = BTreeSet::new();
        for id in unseen {
            let Some(file) = self.files.get_mut(&id) else { continue };
            let is_at = |place: &Path| {
                place.symlink_metadata().is_ok_and(|about| Identity::of(&about) == file.identity)
            };
            let found = match is_at(&file.place) {
                true => Ok(None),
                false => folders.find(&file.place, file.identity.inode),
            };
            // A folder that can't be read hides where it is now, no more.
            let place = found.unwrap_or(None).filter(|place| is_at(place));
            if file.leaving.is_some() {
                if let Some(place) = place {
                    file.rename(file.path.clone(), place);
                }
                continue;
            }
            if let Some(here) = new.get(&file.path) {
                let may_go_on = !self.removed.contains(&file.place) && may_go_on_elsewhere(file);
                let next = if may_go_on { open_with_room(&here.place).map(Some) } else { Ok(None) };
                let next = match next {
                    Ok(next) => next,
                    Err(error) if is_missing(&error) => None,
                    Err(error) => {
                        // Whether it goes on there is not known yet.
                        faults.extend(new.remove(&file.path).map(|here| (here.path, error)));
                        continue;
                    }
                };
                if let Some(next) = next
                    && goes_on_in(file, here, next).map_err(|error| file.failure(&error))?
                {
                    new.remove(&file.path);
                    self.wake(id);
                    continue;
                }
                if reported.insert(file.path.clone()) {
                    log::info!("`{}` is another file now: reading that from its start", file.path.display());
                }
            }
            file.leave(Instant::now(), place);
            self.wake(id);
        }
        let mut new: Vec<Here> = new.into_values().collect();
        new.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(new)
    }

    /// Begins to follow a file.
    fn begin(&mut self, here: Here, faults: &mut Vec<(PathBuf, io::Error)>) -> Result<(), Failure> {
        let opened = open_with_room(&here.place);
        let mut file =
            match opened.and_then(|file| Tracked::new(here.path.clone(), here.place, file, self.framing)) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => {
                    faults.push((here.path, error));
                    return Ok(());
                }
            };
        if self.files.values().any(|known| known.identity == file.identity) {
            // The name leads to another file than a moment ago: the next look finds it there.
            self.look_again();
            return Ok(());
        }
        file.scan = self.scans;
        self.remember(&mut file).map_err(|error| file.failure(&error))?;
        self.add(file);
        Ok(())
    }

    /// One that had ended has a name again, or a copy of one that was lost turns up.
    fn remember(&mut self, file: &mut Tracked) -> io::Result<()> {
        let is_it = |ended: &Saved| !ended.is_lost && (ended.inode, ended.born) == file.inode();
        let Some(i) = self.ended.iter().position(is_it) else { return self.remember_lost(file) };
        let Some(ended) = self.ended.remove(i) else { return Ok(()) };
        self.note_ended();
        if let Recognized::Same(known) = ended.recognize(file.file())? {
            log::info!("`{}` is back: reading it from byte {} on", file.path.display(), ended.position);
            file.go_on_at(ended.position, ended.skip.clone(), known);
        }
        Ok(())
    }

    fn remember_lost(&mut self, file: &mut Tracked) -> io::Result<()> {
        for lost in self.ended.iter().filter(|ended| ended.is_lost) {
            if let Some(known) = lost.copied_in(file.file())? {
                log_copy(&lost.path, file, lost.position);
                file.go_on_at(lost.position, lost.skip.clone(), known);
                return Ok(());
            }
        }
        Ok(())
    }

    fn add(&mut self, file: Tracked) {
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, file);
        self.wake(id);
    }

    /// Each once, as long as it is there.
    fn say(&mut self, faults: Vec<(PathBuf, io::Error)>) {
        let faults: BTreeSet<(PathBuf, String)> =
            faults.into_iter().map(|(path, error)| (path, error.to_string())).collect();
        for (path, error) in faults.difference(&self.said) {
            log::error!("can't read `{}`: {error}", path.display());
        }
        self.said = faults;
    }

    /// Finds the files of a saved position: under their names, under others, or by what is in them. Those that could not
    /// be opened are given back: their positions are kept.
    fn find_saved(
        &mut self,
        here: &[Here],
        folders: &mut Folders,
        faults: &mut Vec<(PathBuf, io::Error)>,
    ) -> Result<HashSet<Identity>, Failure> {
        let saved = std::mem::take(&mut self.saved);
        let claimed: BTreeSet<u64> = saved.iter().map(|saved| saved.inode).collect();
        let mut pool: HashMap<(u64, u64), Tracked> =
            std::mem::take(&mut self.pool).into_iter().map(|file| (file.inode(), file)).collect();
        let by_inode: HashMap<u64, &Here> = here.iter().map(|here| (here.identity.inode, here)).collect();
        let by_path: HashMap<&Path, &Here> = here.iter().map(|here| (here.path.as_path(), here)).collect();
        let mut shut = HashSet::new();
        for mut saved in saved {
            if let Some(open) = pool.remove(&(saved.inode, saved.born)) {
                self.resume(open, &saved)?;
                continue;
            }
            let named = by_path.get(saved.path.as_path());
            let by_inode = by_inode.get(&saved.inode);
            let found = folders.open(by_inode.map(|here| here.place.clone()), &saved.place, saved.inode);
            let found = match found {
                Ok(found) => found,
                Err(error) if is_missing(&error) => None,
                Err(error) => {
                    // It may be there: its position must not be forgotten.
                    faults.push((saved.path.clone(), error));
                    shut.extend(by_inode.map(|here| here.identity));
                    let place = folders.find(&saved.place, saved.inode).unwrap_or(None);
                    saved.place = place.unwrap_or(saved.place);
                    self.saved.push(saved);
                    continue;
                }
            };
            let is_named =
                found.as_ref().is_some_and(|(_, place)| named.is_some_and(|named| named.place == *place));
            let found = found
                .map(|(file, place)| Tracked::new(saved.path.clone(), place, file, self.framing))
                .transpose();
            let found = found.map_err(|error| cannot_read(&saved.path, &error))?;
            let is_it = |file: &Tracked| !self.files.values().any(|known| known.identity == file.identity);
            match found.filter(is_it) {
                Some(file) if is_named || recognized(&saved, file.file())?.is_some() => {
                    self.resume(file, &saved)?;
                }
                _ => {
                    let free = named.copied().filter(|here| !claimed.contains(&here.identity.inode));
                    match free.map(|here| (here, open_with_room(&here.place))) {
                        Some((here, Err(error))) if !is_missing(&error) => {
                            // It may hold what was read, and more.
                            faults.push((here.path.clone(), error));
                            shut.insert(here.identity);
                            self.saved.push(saved);
                        }
                        opened => {
                            let opened = opened.and_then(|(here, file)| Some((here, file.ok()?)));
                            self.find_by_content(saved, opened)?;
                        }
                    }
                }
            }
        }
        Ok(shut)
    }

    /// Continues in an open file that has the saved one's inode, if it is the one.
    fn resume(&mut self, mut file: Tracked, saved: &Saved) -> Result<(), Failure> {
        file.leaving = None;
        let is_where_it_was = file.position() == saved.position
            && file.standing == Standing::Known
            && saved.print.is_some_and(|print| print == file.print());
        if is_where_it_was {
            self.add(file);
            return Ok(());
        }
        if saved.position == 0 {
            file.start_anew().map_err(|error| cannot_read(&saved.path, &error))?;
            (file.standing, file.scan) = (Standing::New, self.scans);
        } else if let Some(known) = recognized(saved, file.file())? {
            file.go_on_at(saved.position, saved.skip.clone(), known);
        } else {
            file.start_anew().map_err(|error| cannot_read(&saved.path, &error))?;
            (file.standing, file.scan) = (Standing::Known, self.scans);
            self.lost.push(lost(saved, HowLost::Cut));
        }
        self.add(file);
        Ok(())
    }

    /// Its name may lead to another file that holds what was read, and more.
    fn find_by_content(&mut self, saved: Saved, named: Option<(&Here, File)>) -> Result<(), Failure> {
        if let Some((here, file)) = named
            && saved.position > 0
            && let Some(print) = saved.print
            && let Some(known) = print.known_in(&file).map_err(|error| cannot_read(&saved.path, &error))?
        {
            let file = Tracked::new(here.path.clone(), here.place.clone(), file, self.framing);
            let mut file = file.map_err(|error| cannot_read(&saved.path, &error))?;
            file.go_on_at(saved.position, saved.skip.clone(), known);
            self.add(file);
            return Ok(());
        }
        self.lost.push(lost(&saved, HowLost::Gone));
        Ok(())
    }
}

fn lost(saved: &Saved, how: HowLost) -> Lost {
    let Saved { path, position, print, skip, .. } = saved.clone();
    Lost { path, print, position, head: None, length: None, skip, how }
}

fn recognized(saved: &Saved, file: &File) -> Result<Option<Known>, Failure> {
    match saved.recognize(file).map_err(|error| cannot_read(&saved.path, &error))? {
        Recognized::Same(known) => Ok(Some(known)),
        Recognized::Other => Ok(None),
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::fatal(format!("can't read `{}`: {error}", path.display()))
}

/// The files that match and are there. What is no file has no end at which to go on.
fn here(found: Findings, faults: &mut Vec<(PathBuf, io::Error)>) -> Vec<Here> {
    let mut all = Vec::new();
    for (path, found) in found.files {
        match found.place.metadata() {
            Ok(about) if about.is_file() => {
                all.push(Here { path, place: found.place, identity: Identity::of(&about) });
            }
            Ok(_) => faults.push((path, io::Error::other("only a file can be followed"))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => faults.push((path, error)),
        }
    }
    all
}

fn may_go_on_elsewhere(file: &Tracked) -> bool {
    file.position() > 0 && file.standing == Standing::Known && file.is_unlinked()
}

/// Whether the file that has the name now took the place of this one with all that was in it: a mirror that writes
/// beside it and renames.
fn goes_on_in(file: &mut Tracked, here: &Here, next: File) -> io::Result<bool> {
    let (length, old) = (next.metadata()?.len(), file.file().metadata()?.len());
    if length < old || file.print().known_in(&next)?.is_none() {
        return Ok(false);
    }
    let at = old.saturating_sub(SPAN as u64);
    let span = (old - at) as usize;
    if bytes_at(&next, at, span)? != bytes_at(file.file(), at, span)? {
        return Ok(false);
    }
    file.move_to(here.place.clone(), next)?;
    Ok(true)
}

/// Each file that is followed is kept open: a limit on open files is raised as far as it may be.
fn open_with_room(place: &Path) -> io::Result<File> {
    match open(place) {
        Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            if soft >= hard {
                let hint = format!(
                    "{error} (see `ulimit -n`: it is {hard}, and each file that is followed takes one)"
                );
                return Err(io::Error::new(error.kind(), hint));
            }
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
            open(place)
        }
        opened => opened,
    }
}
