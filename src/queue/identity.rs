//! Whose arena it is, who uses it, and how it was left: so that whoever gets its descriptor can tell whether to go on
//! from it. Another version's, a foreign one or a torn one is refused, never guessed at.

use super::layout::{self, HEADER, IDENTITY, MAGIC, VERSION, identity};
use super::memory::{Arena, Memory};
use super::{Fault, futex};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Whose arena it is. Written once, before anybody uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline's file, where only that tells two pipelines of one name apart; else empty.
    pub file: String,
}

impl Identity {
    /// As it is stored: cut to what there is room for.
    fn stored(&self) -> (&[u8], &[u8]) {
        let (pipeline, file) = (self.pipeline.as_bytes(), self.file.as_bytes());
        (&pipeline[..pipeline.len().min(identity::PIPELINE_MAX)], &file[..file.len().min(identity::FILE_MAX)])
    }

    /// Whether both are the same once they are stored.
    pub fn is(&self, other: &Identity) -> bool {
        self.stored() == other.stored()
    }
}

/// A process that uses, or used, an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The supervisor's pid.
    pub pid: u32,
    /// When it began, in the clock ticks of `/proc/PID/stat`: a pid may be another process's by now.
    pub since: u64,
    /// Its run.
    pub run: u64,
}

/// Writes the head of a fresh arena. The magic comes last: without it the file counts as never begun.
pub(super) fn write(memory: &Memory, whose: &Identity) {
    let (pipeline, file) = whose.stored();
    let store = |word: usize, value: u64| memory.store(IDENTITY + word, value);
    store(identity::IN_FILE, u64::from(memory.is_file()));
    store(identity::PIPELINE_LEN, pipeline.len() as u64);
    memory.write_text(IDENTITY + identity::PIPELINE, pipeline);
    store(identity::FILE_LEN, file.len() as u64);
    memory.write_text(IDENTITY + identity::FILE, file);
    for (i, word) in layout::header().into_iter().enumerate().skip(1) {
        memory.store(HEADER + i * 8, word);
    }
    store(identity::CHECK, check(memory));
    // Nobody has entered it: whoever dies before that leaves nothing to mistrust.
    store(identity::CLEAN, 1);
    memory.store(HEADER, MAGIC);
}

/// Whose arena the mapped memory is.
pub(super) fn read(memory: &Memory) -> Result<Identity, Fault> {
    for (i, want) in layout::header().into_iter().enumerate() {
        let have = memory.load(HEADER + i * 8);
        if have != want {
            return Err(unknown(i, have));
        }
    }
    if check(memory) != memory.load(IDENTITY + identity::CHECK) {
        return Err(Fault::Foreign("the checksum of its head is wrong".into()));
    }
    let text = |len: usize, at: usize, max: usize| {
        let len = (memory.load(IDENTITY + len) as usize).min(max);
        String::from_utf8_lossy(&memory.read_text(IDENTITY + at, len)).into_owned()
    };
    Ok(Identity {
        pipeline: text(identity::PIPELINE_LEN, identity::PIPELINE, identity::PIPELINE_MAX),
        file: text(identity::FILE_LEN, identity::FILE, identity::FILE_MAX),
    })
}

/// What a wrong word of the head means.
pub(super) fn unknown(word: usize, have: u64) -> Fault {
    match word {
        1 => Fault::Version { have, want: VERSION },
        _ => {
            let want = layout::header()[word];
            Fault::Foreign(format!("header word {word} is {have:#x}, not {want:#x}"))
        }
    }
}

/// FNV-1a over all that never changes: it recognises accidents, not malice.
fn check(memory: &Memory) -> u64 {
    let words = (8..layout::header().len() * 8).step_by(8).map(|at| HEADER + at);
    let own = (identity::IN_FILE..identity::END).step_by(8).map(|at| IDENTITY + at);
    let bytes = words.chain(own).flat_map(|at| memory.load(at).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const fn identity_end() -> usize {
    IDENTITY + identity::END
}

/// This boot of the machine; zeros where the system doesn't tell.
pub(super) fn boot() -> [u64; 2] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|half| u64::from_str_radix(half, 16).ok()).unwrap_or(0);
    [half(0..16), half(16..32)]
}

/// Whether the power may have failed while it was in use: then nobody knows which of its pages reached the disk.
pub(super) fn is_torn(memory: &Memory) -> bool {
    let used_in = [0, 8].map(|word| memory.load(IDENTITY + identity::BOOT + word));
    memory.load(IDENTITY + identity::CLEAN) == 0 && used_in != boot()
}

impl Arena {
    /// Who used it last, or uses it now.
    pub fn user(&self) -> User {
        let load = |word: usize| self.0.load(IDENTITY + word);
        let [pid, since, run] = [identity::SUPERVISOR, identity::SINCE, identity::RUN].map(load);
        User { pid: pid as u32, since, run }
    }

    /// Notes that it is in use, before anything changes in it: cut off from now on it is torn.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin_use(&self) -> Result<(), Fault> {
        let store = |word: usize, value: u64| self.0.store(IDENTITY + word, value);
        let [first, second] = boot();
        store(identity::BOOT, first);
        store(identity::BOOT + 8, second);
        store(identity::CLEAN, 0);
        self.0.sync(layout::HEADER, identity_end())
    }

    /// Notes who uses it from now on. On a disk that is there before anything else changes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn enter(&self, user: User) -> Result<(), Fault> {
        let store = |word: usize, value: u64| self.0.store(IDENTITY + word, value);
        store(identity::SUPERVISOR, u64::from(user.pid));
        store(identity::SINCE, user.since);
        store(identity::RUN, user.run);
        self.begin_use()
    }

    /// Writes everything to the disk, and says so in the file. Nobody may be at work any more.
    ///
    /// # Errors
    /// When the disk refuses: it then counts as still in use.
    pub fn leave(&self) -> Result<(), Fault> {
        self.0.sync_file()?;
        self.0.store(IDENTITY + identity::CLEAN, 1);
        self.0.sync(layout::HEADER, identity_end())
    }

    /// A lock word that still names somebody, in an arena that nobody else has open: a death without its kernel.
    pub(super) fn free_stale_lock(&self) {
        let word = self.0.word32(layout::LOCK);
        super::lock::declare_dead(word);
        futex::wake(word, 1);
    }
}

/// Who uses the arena in a file, by reading it: what it is isn't known yet, so it isn't mapped.
pub(super) fn user_of_file(fd: &OwnedFd) -> Option<User> {
    let file = File::from(fd.try_clone().ok()?);
    let mut words = [[0; 8]; 3];
    let at = (IDENTITY + identity::SUPERVISOR) as u64;
    file.read_exact_at(words.as_flattened_mut(), at).ok()?;
    let [pid, since, run] = words.map(u64::from_le_bytes);
    Some(User { pid: pid as u32, since, run })
}
