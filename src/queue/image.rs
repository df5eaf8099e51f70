//! What is in all queues at one moment, as bytes that can be kept and trusted: what is read back is all of it or refused.
//!
//! ```text
//! magic | format | when | pipeline | file | queues: { number, flags, bounds, ledger, label, items: { ticket, failures, mark, bytes } } | CRC-32
//! ```
//!
//! Words of 64 bits, little-endian; texts and items follow their length. Independent of the arena's layout. What workers
//! hold is in it as if they had given it back.

use super::descriptor::Meta;
use super::holdings;
use super::identity::Identity;
use super::layout::{self, MAX_QUEUES, queue};
use super::tx::Tx;
use super::{Fault, QueueId, ring};
use std::time::{Duration, SystemTime};

const MAGIC: u64 = u64::from_le_bytes(*b"mprun\0sv");
const FORMAT: u64 = 1;

/// The words of a queue that are kept as they are.
const KEPT: [usize; 10] = [
    queue::FLAGS,
    queue::CAPACITY,
    queue::MAX_BYTES,
    queue::MAX_ITEM,
    queue::WHEN_FULL,
    queue::DONE,
    queue::DEAD,
    queue::DROPPED_OLD,
    queue::DROPPED_NEW,
    queue::PUT_BACK,
];

/// All queues at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Image<'a> {
    pub whose: Identity,
    pub taken: SystemTime,
    pub queues: Vec<Queue<'a>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Queue<'a> {
    pub id: QueueId,
    pub label: String,
    /// Of [`KEPT`], in that order.
    words: [u64; KEPT.len()],
    /// The oldest first.
    pub items: Vec<Item<'a>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Item<'a> {
    /// Its number in the queue; another one after it was put back from here.
    pub ticket: u64,
    pub failures: u64,
    /// Outputs that are out already.
    pub mark: u64,
    pub bytes: &'a [u8],
}

impl Queue<'_> {
    pub fn word(&self, which: usize) -> u64 {
        KEPT.iter().position(|&kept| kept == which).map_or(0, |i| self.words[i])
    }

    /// Items ever put: the ledger's other side.
    pub fn put(&self) -> u64 {
        let ended = [queue::DONE, queue::DEAD, queue::DROPPED_OLD].map(|which| self.word(which));
        ended.into_iter().fold(self.items.len() as u64, u64::wrapping_add)
    }
}

/// Copies it all. The lock is held meanwhile.
pub(super) fn take(tx: &Tx<'_>, whose: &Identity) -> Result<Vec<u8>, Fault> {
    let mut items: Vec<Vec<(u64, usize, u64)>> = vec![Vec::new(); MAX_QUEUES];
    for id in layout::opened_slots(tx.get(layout::OPENED)) {
        let slot = layout::slot_at(id)?;
        for entry in holdings::entries(&holdings::bitmap(tx.memory, slot)) {
            let words = layout::holding(slot, entry as usize);
            let meta = Meta(tx.memory.load(words + 8));
            if !meta.is_block() {
                layout::queue_at(meta.queue())?;
                items[meta.queue().0 as usize].push(entry_at(tx, words));
            }
        }
    }
    let mut to = Writer(Vec::with_capacity(64 << 10));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    [MAGIC, FORMAT, since.as_millis() as u64].into_iter().for_each(|word| to.word(word));
    to.bytes(whose.pipeline.as_bytes());
    to.bytes(whose.file.as_bytes());
    let used =
        |q: &QueueId| layout::queue_at(*q).is_ok_and(|at| tx.get(at + queue::FLAGS) & queue::USED != 0);
    let all: Vec<QueueId> = (0..MAX_QUEUES as u16).map(QueueId).filter(used).collect();
    to.word(all.len() as u64);
    for q in all {
        take_queue(tx, q, std::mem::take(&mut items[q.0 as usize]), &mut to)?;
    }
    let check = crc32fast::hash(&to.0);
    to.word(u64::from(check));
    Ok(to.0)
}

/// WorkerSpec, descriptor, mark.
fn entry_at(tx: &Tx<'_>, words: usize) -> (u64, usize, u64) {
    (tx.memory.load(words + 16), words, tx.memory.load(words + 24))
}

fn take_queue(
    tx: &Tx<'_>,
    q: QueueId,
    mut items: Vec<(u64, usize, u64)>,
    to: &mut Writer,
) -> Result<(), Fault> {
    let at = layout::queue_at(q)?;
    items.extend((0..ring::returned(tx, at)?).map(|i| entry_at(tx, layout::returned_entry(q, i))));
    let (k, head, used) = ring::extent(tx, at)?;
    items.extend((0..used).map(|i| head.wrapping_add(i)).map(|n| (n, layout::ring_slot(q, k, n), 0)));
    items.sort_unstable_by_key(|item| item.0);
    to.word(u64::from(q.0));
    KEPT.iter().for_each(|word| to.word(tx.get(at + word)));
    let label = layout::label_of(at);
    let len = (tx.memory.load(label) as usize).min(layout::LABEL_MAX);
    to.bytes(&tx.memory.read_text(label + 8, len));
    to.word(items.len() as u64);
    for (ticket, words, mark) in items {
        let meta = Meta(tx.memory.load(words + 8));
        [ticket, u64::from(meta.failures()), mark].into_iter().for_each(|word| to.word(word));
        match meta.has_block() {
            false => to.bytes(tx.memory.inline(words, meta.len())),
            true => to.bytes(tx.memory.block(tx.memory.load(words), meta.len())?),
        }
    }
    Ok(())
}

/// Reads one back.
///
/// # Errors
/// What is wrong with it: then none of it can be trusted.
pub(super) fn read(bytes: &[u8]) -> Result<Image<'_>, String> {
    let short = || "it is cut off".to_owned();
    let (body, check) = bytes.split_last_chunk::<8>().ok_or_else(short)?;
    if u64::from_le_bytes(*check) != u64::from(crc32fast::hash(body)) {
        return Err("its checksum is wrong".to_owned());
    }
    let mut from = Reader(body);
    if from.word().ok_or_else(short)? != MAGIC {
        return Err("it is something else".to_owned());
    }
    let format = from.word().ok_or_else(short)?;
    if format != FORMAT {
        return Err(format!("its format is {format}, not {FORMAT}"));
    }
    let image = from.image().ok_or("its parts make no sense")?;
    if from.0.is_empty() { Ok(image) } else { Err("there is something behind its end".to_owned()) }
}

struct Writer(Vec<u8>);

impl Writer {
    fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.word()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn image(&mut self) -> Option<Image<'a>> {
        let taken = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.word()?))?;
        let whose = Identity { pipeline: self.text()?, file: self.text()? };
        let n = self.word()?;
        let queues = (0..n).map(|_| self.queue()).collect::<Option<_>>()?;
        Some(Image { whose, taken, queues })
    }

    fn queue(&mut self) -> Option<Queue<'a>> {
        let id = u16::try_from(self.word()?).ok().filter(|&id| usize::from(id) < MAX_QUEUES)?;
        let mut words = [0; KEPT.len()];
        for word in &mut words {
            *word = self.word()?;
        }
        let label = self.text()?;
        let n = self.word()?;
        let items = (0..n).map(|_| self.item()).collect::<Option<_>>()?;
        Some(Queue { id: QueueId(id), label, words, items })
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let (ticket, failures, mark) = (self.word()?, self.word()?, self.word()?);
        Some(Item { ticket, failures, mark, bytes: self.bytes()? })
    }
}
