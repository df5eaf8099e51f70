//! Whose arena it is and who uses it, so that a process with its descriptor can tell whether to continue with it.
//! Another version's, a foreign one or a torn one is refused, never guessed at.

use super::layout::{self, HEADER, VERSION, identity};
use super::{fault::Fault, memory::Memory};
use std::{fs::File, os::fd::OwnedFd, os::unix::fs::FileExt};

/// Whose arena it is. Written once, before its first use.
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

    /// What tells it from another one.
    pub fn name(self) -> String {
        if self.file.is_empty() { self.pipeline } else { self.file }
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

impl From<[u64; 3]> for User {
    fn from([pid, since, run]: [u64; 3]) -> User {
        User { pid: pid as u32, since, run }
    }
}

/// Writes the head of a fresh arena.
pub(crate) fn write(memory: &Memory, owner: &Identity) {
    let (pipeline, file) = owner.stored();
    memory.store(identity::IN_FILE, u64::from(memory.is_file()));
    memory.store(identity::PIPELINE_LEN, pipeline.len() as u64);
    memory.write_text(identity::PIPELINE, pipeline);
    memory.store(identity::FILE_LEN, file.len() as u64);
    memory.write_text(identity::FILE, file);
    for (i, word) in layout::header().into_iter().enumerate().skip(1) {
        memory.store(HEADER.word(i), word);
    }
    memory.store(identity::CHECK, checksum(memory));
    // It is not in use yet: a death before that leaves nothing to mistrust.
    memory.store(identity::CLEAN, 1);
    memory.store(HEADER.word(0), layout::MAGIC);
}

/// Whose arena the mapped memory is.
pub(super) fn read(memory: &Memory) -> Result<Identity, Fault> {
    for (i, want) in layout::header().into_iter().enumerate() {
        let have = memory.load(HEADER.word(i));
        if have != want {
            return Err(unknown(i, have));
        }
    }
    if checksum(memory) != memory.load(identity::CHECK) {
        return Err(Fault::Foreign("the checksum of its head is wrong".into()));
    }
    Ok(Identity {
        pipeline: memory.read_string(identity::PIPELINE_LEN, identity::PIPELINE, identity::PIPELINE_MAX),
        file: memory.read_string(identity::FILE_LEN, identity::FILE, identity::FILE_MAX),
    })
}

/// What a wrong word of the head means.
pub(super) fn unknown(word: usize, have: u64) -> Fault {
    match word {
        0 => Fault::Foreign(format!("its first word is {have:#x}, not that of queue memory")),
        1 => Fault::Version { have, want: VERSION },
        _ => {
            let want = layout::header()[word];
            Fault::Foreign(format!("header word {word} is {have:#x}, not {want:#x}"))
        }
    }
}

/// FNV-1a over all that never changes: it recognises accidents, not malice.
fn checksum(memory: &Memory) -> u64 {
    let words = (1..layout::header().len()).map(|i| HEADER.word(i));
    let own = (0..identity::CHECKED_WORDS).map(|i| identity::CHECKED.word(i));
    let bytes = words.chain(own).flat_map(|at| memory.load(at).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Who uses the arena in a file, by reading it: what it is isn't known yet, so it isn't mapped.
pub(super) fn user_of_file(fd: &OwnedFd) -> Option<User> {
    let file = File::from(fd.try_clone().ok()?);
    let mut words = [[0; 8]; 3];
    file.read_exact_at(words.as_flattened_mut(), identity::USER[0].into()).ok()?;
    Some(words.map(u64::from_le_bytes).into())
}
