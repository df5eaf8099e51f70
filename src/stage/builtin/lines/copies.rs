//! Which new file is a copy of one that was read: of it only what comes behind the position is emitted.
//!
//! Programs that rotate by `copytruncate` make a copy, then cut the original. So a file that reads like another one is
//! kept waiting. If the other is cut or goes away, it was copied: its copy is read on from its position. If both are
//! quiet for a while, they are two files that happen to hold the same.
//!
//! The copy may be out of sight when its original is found to be cut: in the old version of a folder that a link was
//! switched away from, say. So what was read of a lost file is kept for a copy that turns up later, if it was made before.

use super::fingerprint::{Known, SPAN, bytes_at, nanoseconds};
use super::follow::{Class, Follow, Id};
use super::saved::Saved;
use super::tracked::{HowLost, Lost, Standing, Tracked};
use crate::stage::Failure;
use nix::time::ClockId;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of the files is never that late.
const MAX_FILE_CLOCK_WAIT: Duration = Duration::from_millis(50);

/// Files that were cut or are gone, and are remembered: their copies may stand in a folder that a link leads to
/// later.
const MAX_LOST: usize = 100;

/// What a new file looks like beside one that was read.
enum Likeness {
    None,
    /// The other was cut, as it seems.
    Check,
    /// It may become a copy, or is one (`true`).
    Like(bool),
    /// It is the copy of one that is gone.
    Copy(u64, Known),
}

impl Follow {
    pub(super) fn classify(&mut self, id: Id) -> Result<Class, Failure> {
        let Some(new) = self.files.get(&id) else { return Ok(Class::Wait) };
        let failure = |error: io::Error| new.failure(&error);
        let first = new.first().map_err(failure)?;
        if first.is_empty() && new.leaving.is_none() {
            return Ok(Class::Wait);
        }
        let (mut is_like, mut is_complete, mut copy) = (false, false, None);
        for (&other_id, other) in &self.files {
            if other_id == id || other.standing != Standing::Known || other.scan >= new.scan {
                continue;
            }
            match likeness(new, &first, other).map_err(failure)? {
                Likeness::None => {}
                Likeness::Check => return Ok(Class::After(other_id)),
                Likeness::Like(complete) => (is_like, is_complete) = (true, is_complete || complete),
                Likeness::Copy(position, known) => {
                    copy = Some((position, other.skipping().cloned(), known, other.path.clone()));
                }
            }
        }
        let length = new.file().metadata().map_err(failure)?.len();
        let Some(new) = self.files.get_mut(&id) else { return Ok(Class::Wait) };
        if let Some((position, skip, known, of)) = copy {
            log_copy(&of, new, position);
            new.go_on_at(position, skip, known);
            return Ok(Class::Known);
        }
        let now = Instant::now();
        let since = match new.standing {
            Standing::Held { since, is_complete: true, .. } if is_complete => since,
            Standing::Held { since, length: before, .. } if before == length && !is_complete => since,
            Standing::New | Standing::Held { .. } | Standing::Known => now,
        };
        if is_like && now.duration_since(since) < self.rotate_wait {
            new.standing = Standing::Held { since, length, is_complete };
            return Ok(Class::Wait);
        }
        new.standing = Standing::Known;
        Ok(Class::Known)
    }

    /// Finds copies of the files that were lost, and says what was lost.
    pub(super) fn settle_lost(&mut self) -> Result<(), Failure> {
        let seen = SystemTime::now();
        let mut is_kept = false;
        for lost in std::mem::take(&mut self.lost) {
            let mut has_copy = false;
            let new = self.files.values_mut().filter(|file| file.standing != Standing::Known);
            for file in new {
                if let Some((position, known)) = copy_of(&lost, file).map_err(|error| file.failure(&error))? {
                    log_copy(&lost.path, file, position);
                    file.go_on_at(position, lost.skip.clone(), known);
                    has_copy = true;
                }
            }
            log_lost(&lost, has_copy);
            is_kept |= !has_copy && self.keep_lost(lost, seen);
        }
        if is_kept {
            wait_for_file_clock(seen);
        }
        Ok(())
    }

    /// A copy of it may stand where no name leads to now. True if something was read of it.
    fn keep_lost(&mut self, lost: Lost, seen: SystemTime) -> bool {
        let Lost { path, print, position, skip, .. } = lost;
        if position == 0 || print.is_none() {
            return false;
        }
        let born = nanoseconds(seen);
        let place = path.clone();
        let (inode, has_ended, is_lost) = (0, false, true);
        self.ended.push_back(Saved { path, place, position, inode, born, print, has_ended, is_lost, skip });
        let lost = self.ended.iter().filter(|ended| ended.is_lost).count();
        if lost > MAX_LOST
            && let Some(oldest) = self.ended.iter().position(|ended| ended.is_lost)
        {
            self.ended.remove(oldest);
        }
        self.note_ended();
        true
    }
}

/// Waits until a new file gets a time of birth after `seen`. The kernel takes it from a clock that is up to one tick
/// (10 ms) late: a file that is made right after the loss would seem to be older than it, and so to be a copy.
fn wait_for_file_clock(seen: SystemTime) {
    let start = Instant::now();
    let is_behind = || {
        let now = ClockId::CLOCK_REALTIME_COARSE.now();
        now.is_ok_and(|now| UNIX_EPOCH + Duration::from(now) <= seen)
    };
    // Limited, should the clock be set back meanwhile.
    while is_behind() && start.elapsed() < MAX_FILE_CLOCK_WAIT {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn likeness(new: &Tracked, first: &[u8], other: &Tracked) -> io::Result<Likeness> {
    let (head, position) = (other.head(), other.position());
    let common = first.len().min(head.len());
    if common == 0 || first[..common] != head[..common] {
        return Ok(Likeness::None);
    }
    if !other.is_untouched()? {
        return Ok(Likeness::Check);
    }
    let length = new.file().metadata()?.len();
    let known = if length < position { None } else { other.print().known_in(new.file())? };
    if other.leaving.is_some() {
        // One that was only renamed is there to be read; one of the same name took its place.
        if other.path == new.path || !other.is_unlinked() {
            return Ok(Likeness::None);
        }
        return Ok(match known {
            Some(known) if other.is_read_to_its_end() => Likeness::Copy(position, known),
            Some(_) => Likeness::Like(true),
            None => Likeness::None,
        });
    }
    if length >= position {
        return Ok(known.map_or(Likeness::None, |_| Likeness::Like(true)));
    }
    let at = length.saturating_sub(SPAN as u64);
    let is_same = bytes_at(new.file(), at, SPAN)? == bytes_at(other.file(), at, (length - at) as usize)?;
    Ok(if is_same { Likeness::Like(false) } else { Likeness::None })
}

/// Where to read on in a file that is a copy of a lost one.
fn copy_of(lost: &Lost, file: &Tracked) -> io::Result<Option<(u64, Known)>> {
    let Some(print) = lost.print.filter(|print| print.position > 0 && lost.path != file.path) else {
        return Ok(None);
    };
    let length = file.file().metadata()?.len();
    if length >= print.position {
        return Ok(print.known_in(file.file())?.map(|known| (print.position, known)));
    }
    // It was copied when the other was shorter: all that is in it was read there.
    let (Some(head), first) = (&lost.head, file.first()?) else { return Ok(None) };
    let common = first.len().min(head.len());
    if common == 0 || first[..common] != head[..common] {
        return Ok(None);
    }
    let span = length.min(SPAN as u64);
    let tail = bytes_at(file.file(), length - span, span as usize)?;
    Ok(Some((length, Known { head: first, tail })))
}

pub(super) fn log_copy(of: &Path, copy: &Tracked, position: u64) {
    let (of, copy) = (of.display(), copy.path.display());
    log::info!("`{copy}` is a copy of `{of}`: reading it from byte {position} on");
}

fn log_lost(lost: &Lost, has_copy: bool) {
    let Lost { position, length, .. } = *lost;
    let path = lost.path.display();
    let rest = match length {
        Some(length) if length > position => format!("its bytes {position} to {length} were not read"),
        _ => format!("what stood behind its byte {position} was not read, if there was anything"),
    };
    match (lost.how, has_copy) {
        (HowLost::Cut, true) => log::info!("`{path}` was truncated: reading it from its start"),
        (HowLost::Cut, false) => log::warn!("`{path}` was truncated: reading it from its start; {rest}"),
        (HowLost::Gone, true) => {}
        (HowLost::Gone, false) => log::warn!("`{path}` is gone: {rest}"),
    }
}
