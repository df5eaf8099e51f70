//! The queues in a file of version 6 of the arena, which an earlier mprun has left: read, never changed.
//!
//! What is found is returned as a saved copy of format 1 (see `image.rs`), so one way leads from any older file to a fresh
//! one. No process has the file open. As in `recover`, leases have gone back, and a begun item counts one more attempt;
//! the journal of an interrupted transaction is applied in what is read.

mod items;
mod layout;
mod words;

use super::image::{MAGIC, Writer};
use crate::queue::arena::{fault::Fault, identity::Identity, identity::User};
use items::{Held, Ledger};
use layout::{class_of, header, identity, queue, slot};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::SystemTime;
use words::Words;

pub(super) use layout::VERSION;

/// The format of a saved copy at the time of version 6.
const FORMAT: u64 = 1;

/// What a file of version 6 holds.
pub(super) struct Left {
    pub owner: Identity,
    /// Who used it last: some of its programs may still run.
    pub user: User,
    /// All queues, as a saved copy of them.
    pub image: Vec<u8>,
}

/// Whose queues are in the file.
///
/// # Errors
/// `Fault::Foreign` when the head is no head of version 6.
pub(super) fn owner(fd: &OwnedFd) -> Result<Identity, Fault> {
    let words = Words::open(fd)?;
    words.check_head()?;
    words.owner()
}

/// Reads all of it.
///
/// # Errors
/// `Fault::Foreign` and `Fault::Torn`: nothing in it can be trusted. `Fault::System` when it can't be read.
pub(super) fn read(fd: &OwnedFd, boot: [u64; 2]) -> Result<Left, Fault> {
    let mut words = Words::open(fd)?;
    words.check_head()?;
    let [first, second, clean, pid, since, run] = words.array(identity::BOOT)?;
    if clean == 0 && [first, second] != boot {
        return Err(Fault::Torn);
    }
    words.finish_transaction()?;
    let owner = words.owner()?;
    let image = copy(&words, &owner)?;
    Ok(Left { owner, user: [pid, since, run].into(), image })
}

/// The saved copy that a supervisor of version 6 would have made, had all leases gone back before.
fn copy(words: &Words, owner: &Identity) -> Result<Vec<u8>, Fault> {
    let mut held = items::held(words)?;
    let mut blocks = BTreeSet::new();
    for block in &held.reserved {
        take_block(&mut blocks, *block)?;
    }
    let mut used = Vec::new();
    for q in 0..layout::MAX_QUEUES {
        if words.word(layout::queue(q) + queue::FLAGS)? & queue::USED != 0 {
            used.push(q);
        }
    }
    let mut to = Writer(Vec::with_capacity(64 << 10));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    [MAGIC, FORMAT, since.as_millis() as u64].into_iter().for_each(|word| to.word(word));
    to.bytes(owner.pipeline.as_bytes());
    to.bytes(owner.file.as_bytes());
    to.word(used.len() as u64);
    for q in used {
        copy_queue(words, q, &mut held, &mut blocks, &mut to)?;
    }
    if held.items.iter().any(|items| !items.is_empty()) {
        return Err(Fault::Foreign("a worker holds an item of a queue that is not in use".to_owned()));
    }
    to.seal();
    Ok(to.0)
}

fn copy_queue(
    words: &Words,
    q: u64,
    held: &mut Held,
    blocks: &mut BTreeSet<u64>,
    to: &mut Writer,
) -> Result<(), Fault> {
    let ledger = Ledger::read(words, q)?;
    let leases = std::mem::take(&mut held.items[q as usize]);
    ledger.check_leases(leases.len() as u64)?;
    let (mut bytes, mut items) = (held.bytes[q as usize], ledger.waiting_outside(words, leases)?);
    items.sort_unstable_by_key(|item| item.sequence);
    to.word(q);
    for word in queue::COPIED {
        to.word(words.word(layout::queue(q) + word)?);
    }
    to.bytes(words.text(layout::label(q), layout::label(q) + 8, layout::LABEL_MAX)?.as_bytes());
    to.word(ledger.waiting() + ledger.leased());
    let in_ring = ledger.in_ring(words);
    for item in items.into_iter().map(Ok).chain(in_ring) {
        let item = item?;
        item.belongs_to(q)?;
        if let Some(block) = item.block()? {
            bytes += take_block(blocks, block)?;
        }
        [item.sequence, item.failures(), item.mark].into_iter().for_each(|word| to.word(word));
        to.bytes(&item.payload(words)?);
    }
    ledger.check_bytes(bytes)
}

/// A block is in one place only; returns its bytes.
fn take_block(blocks: &mut BTreeSet<u64>, block: u64) -> Result<u64, Fault> {
    let size = class_of(block).ok_or_else(|| Fault::damaged("a block's place", block, block))?;
    if blocks.insert(block) {
        Ok(size)
    } else {
        Err(Fault::Foreign(format!("block {block:#x} is in two places")))
    }
}

impl Words {
    /// The words by which an arena is known, and the checksum of all that never changes.
    fn check_head(&self) -> Result<(), Fault> {
        let words = self.words(0, header().len())?;
        if let Some(i) = (0..words.len()).find(|&i| words[i] != header()[i]) {
            return Err(Fault::Foreign(format!(
                "header word {i} is {:#x}, not {:#x}",
                words[i],
                header()[i]
            )));
        }
        let own = self.words(identity::CHECKED, identity::CHECKED_WORDS)?;
        let bytes = words[1..].iter().chain(&own).flat_map(|word| word.to_le_bytes());
        let fnv = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        match bytes.fold(0xcbf2_9ce4_8422_2325, fnv) == self.word(identity::CHECK)? {
            true => Ok(()),
            false => Err(Fault::Foreign("the checksum of its head is wrong".to_owned())),
        }
    }

    fn owner(&self) -> Result<Identity, Fault> {
        Ok(Identity {
            pipeline: self.text(identity::PIPELINE_LEN, identity::PIPELINE, identity::PIPELINE_MAX)?,
            file: self.text(identity::FILE_LEN, identity::FILE, identity::FILE_MAX)?,
        })
    }

    /// Applies the journal of a transaction that was decided and not carried out: from now on its words read as it says.
    fn finish_transaction(&mut self) -> Result<(), Fault> {
        let decided = self.word(layout::DECIDED)?;
        if decided == 0 {
            return Ok(());
        }
        let (journal, n) = (decided & !4095, decided & 4095);
        let in_slots = journal.wrapping_sub(layout::SLOTS + slot::JOURNAL);
        let is_workers =
            in_slots.is_multiple_of(layout::SLOT_SIZE) && in_slots / layout::SLOT_SIZE < layout::MAX_SLOTS;
        if n > layout::JOURNAL_MAX || journal != layout::JOURNAL && !is_workers {
            return Err(Fault::damaged("the commit word", layout::DECIDED, decided));
        }
        let pairs = self.words(journal, 2 * n as usize)?;
        for pair in pairs.chunks_exact(2) {
            let [offset, value] = [pair[0], pair[1]];
            if !(layout::QUEUES..layout::HEAP).contains(&offset) || !offset.is_multiple_of(8) {
                return Err(Fault::damaged("an offset in the journal", journal, offset));
            }
            self.put(offset, value);
        }
        Ok(())
    }
}
