//! What is in all queues at one moment, as bytes that can be kept and trusted: what is read back is all of it or refused.
//!
//! ```text
//! magic | format | when | pipeline | file | queues: { number, flags, bounds, ledger, label, items: { sequence, failures, mark, due, bytes } } | CRC-32
//! ```
//!
//! Words of 64 bits, little-endian; texts and items follow their length. Independent of the arena's layout. What workers
//! hold is in it as if they had given it back. The upper half of an item's failures says whether it is known to be bad, and for
//! which stage (`transaction/failing.rs`). Whether a stage is failing is not in it: that is about the world outside.
//!
//! The items of a window (see `transaction/window.rs`) are its closed places: an item without bytes, whose mark says how many
//! items of the input it is the place of, and after it the outputs, each with the number of its queue + 1 in place of
//! its failures.

use crate::queue::QueueId;
use crate::queue::arena::layout::{self, DescriptorAt, EntryAt, MAX_QUEUES, Queue, QueueAt, SlotAt};
use crate::queue::arena::layout::{entry, queue};
use crate::queue::arena::{descriptor::Meta, fault::Fault, identity::Identity, place::Field};
use crate::queue::transaction::{counts, delayed, failing, holdings::Bitmap, places, returned, ring, tx::Tx};
use std::time::{Duration, SystemTime};

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"mprun\0sv");
/// 2: items have a due time. 3: there are windows.
const FORMAT: u64 = 3;

/// The words of a queue that are copied as they are.
/// In their order in the image; those of the first format come first.
const COPIED_WORDS: [Field<Queue>; 15] = [
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
    queue::DELAY_MOST,
    queue::WINDOW,
    queue::WINDOW_OF,
    queue::NEXT_PLACE,
    queue::ORDERED_FROM,
];
/// How many of them an earlier format has.
const WORDS_OF_FORMAT: [usize; 2] = [10, 11];

/// All queues at one moment.
#[derive(Debug, PartialEq)]
pub(in crate::queue) struct Image<'a> {
    pub owner: Identity,
    pub taken: SystemTime,
    pub queues: Vec<QueueImage<'a>>,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct QueueImage<'a> {
    pub id: QueueId,
    pub label: String,
    /// Of [`COPIED_WORDS`], in that order.
    words: [u64; COPIED_WORDS.len()],
    /// The oldest first.
    pub items: Vec<ItemImage<'a>>,
}

#[derive(Debug, PartialEq)]
pub(in crate::queue) struct ItemImage<'a> {
    /// Its number in the queue; another one after it was put back from here.
    pub sequence: u64,
    pub failures: u64,
    /// [`failing::known_bad`]; 0: it is not.
    pub known_bad: u64,
    /// Outputs that are published already.
    pub mark: u64,
    /// When it is due, in milliseconds since 1970; 0: it is not delayed.
    pub due: u64,
    pub bytes: &'a [u8],
}

impl QueueImage<'_> {
    pub(crate) fn word(&self, which: Field<Queue>) -> u64 {
        COPIED_WORDS.iter().position(|&copied| copied == which).map_or(0, |i| self.words[i])
    }

    /// Items ever put: the ledger's other side.
    pub(crate) fn put(&self) -> u64 {
        let ended = [queue::DONE, queue::DEAD, queue::DROPPED_OLD].map(|which| self.word(which));
        ended.into_iter().fold(self.items.len() as u64, u64::wrapping_add)
    }
}

/// The label and the item of a queue that never holds more than one: a token.
pub type LoneItem = (String, Vec<u8>);

/// What was copied: the image, and tokens apart.
pub(in crate::queue) struct Copied {
    pub bytes: Vec<u8>,
    pub lone: Vec<LoneItem>,
}

/// Copies it all, and tokens apart once more. The lock is held meanwhile.
pub(in crate::queue) fn take(tx: &Tx<'_>, owner: &Identity) -> Result<Copied, Fault> {
    let mut lone = Vec::new();
    let mut items: Vec<Vec<Found>> = vec![Vec::new(); MAX_QUEUES];
    for slot in SlotAt::opened(tx.get(layout::OPENED)) {
        for at in Bitmap::load(tx.memory, slot).entries().map(|entry| slot.entry(entry)) {
            let meta = tx.memory.meta(at);
            if !meta.is_block() {
                Found::entry(tx, at, &mut items[QueueAt::of(meta.queue())?.index()]);
            }
        }
    }
    let mut to = Writer(Vec::with_capacity(64 << 10));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    [MAGIC, FORMAT, since.as_millis() as u64].into_iter().for_each(|word| to.word(word));
    to.bytes(owner.pipeline.as_bytes());
    to.bytes(owner.file.as_bytes());
    let all: Vec<QueueAt> = counts::used_queues(tx.memory).collect();
    to.word(all.len() as u64);
    for queue in all {
        take_queue(tx, queue, std::mem::take(&mut items[queue.index()]), &mut to, &mut lone)?;
    }
    to.seal();
    Ok(Copied { bytes: to.0, lone })
}

/// Where an item was found, and what is known of it.
#[derive(Clone, Copy)]
struct Found {
    sequence: u64,
    at: DescriptorAt,
    /// Its place in an extent.
    n: usize,
    mark: u64,
    due: u64,
    known_bad: u64,
    failures: u32,
}

impl Found {
    fn entry(tx: &Tx<'_>, at: EntryAt, to: &mut Vec<Found>) {
        let [sequence, mark] = [entry::SEQUENCE, entry::MARK].map(|word| tx.memory.load(at + word));
        let from = to.len();
        Found::all(at.into(), tx.memory.meta(at), sequence, mark, to);
        let left = failing::left(tx, at);
        to[from..].iter_mut().for_each(|item| (item.known_bad, item.failures) = left);
    }

    /// All that a descriptor stands for. The mark is the first one's.
    fn all(at: DescriptorAt, meta: Meta, sequence: u64, mark: u64, to: &mut Vec<Found>) {
        let first = meta.as_span().map_or(0, |span| span.first);
        to.extend((0..meta.items()).map(|i| Found {
            sequence: sequence.wrapping_add(i as u64),
            at,
            n: first + i,
            mark: if i == 0 { mark } else { 0 },
            due: 0,
            known_bad: 0,
            failures: meta.failures(),
        }));
    }
}

fn take_queue(
    tx: &Tx<'_>,
    queue: QueueAt,
    mut items: Vec<Found>,
    to: &mut Writer,
    lone: &mut Vec<LoneItem>,
) -> Result<(), Fault> {
    if places::is_one(tx, queue) {
        take_head(tx, queue, to);
        return take_places(tx, queue, to);
    }
    (0..returned::len(tx, queue)?).for_each(|i| Found::entry(tx, queue.returned(i), &mut items));
    for (at, due) in delayed::entries(tx, queue)? {
        let from = items.len();
        Found::entry(tx, at, &mut items);
        items[from..].iter_mut().for_each(|item| item.due = due);
    }
    let (k, first, used) = ring::extent(tx, queue)?;
    let mut sequence = tx.get(queue + queue::HEAD);
    for i in 0..used {
        let at = queue.ring_slot(k, first.wrapping_add(i));
        let meta = ring::remaining(tx, queue, at, i == 0)?;
        Found::all(at, meta, sequence, 0, &mut items);
        sequence = sequence.wrapping_add(meta.items() as u64);
    }
    items.sort_unstable_by_key(|item| item.sequence);
    let label = take_head(tx, queue, to);
    to.word(items.len() as u64);
    if tx.get(queue + queue::CAPACITY) == 1
        && let [Found { at, n, .. }] = items[..]
    {
        let item = tx.memory.payload(at, tx.memory.meta(at), n)?.to_vec();
        lone.push((String::from_utf8_lossy(&label).into_owned(), item));
    }
    for Found { sequence, at, n, mark, due, known_bad, failures } in items {
        let meta = tx.memory.meta(at);
        let failures = u64::from(failures) | known_bad << 32;
        [sequence, failures, mark, due].into_iter().for_each(|word| to.word(word));
        to.bytes(tx.memory.payload(at, meta, n)?);
    }
    Ok(())
}

/// What is saved of a queue before its items; returns its label.
fn take_head(tx: &Tx<'_>, queue: QueueAt, to: &mut Writer) -> Vec<u8> {
    to.word(queue.index() as u64);
    COPIED_WORDS.iter().for_each(|&word| to.word(tx.get(queue + word)));
    let (len, label) = queue.label();
    let len = (tx.memory.load(len) as usize).min(layout::LABEL_MAX);
    let label = tx.memory.read_text(label, len);
    to.bytes(&label);
    label
}

/// The closed places of a window, without what has come out of the first.
fn take_places(tx: &Tx<'_>, window: QueueAt, to: &mut Writer) -> Result<(), Fault> {
    let (places, next) = (places::closed(tx, window)?, tx.get(window + queue::NEXT_PLACE));
    let (mut n, mut found) = (0, Writer(Vec::new()));
    for place in places {
        n += 1;
        [place.first, 0, place.items, 0].into_iter().for_each(|word| found.word(word));
        found.bytes(&[]);
        let (gone, gone_items) = if place.first == next { places::moved(tx, window) } else { (0, 0) };
        for (i, at) in place.outputs(tx).enumerate().skip(gone) {
            let meta = places::rest(at, tx.memory.meta(at), if i == gone { gone_items } else { 0 })?;
            let start = meta.as_span().map_or(0, |span| span.first);
            for item in 0..meta.items() {
                n += 1;
                let link = QueueAt::of(meta.queue())?.link();
                [place.first, link, 0, 0].into_iter().for_each(|word| found.word(word));
                found.bytes(tx.memory.payload(at, meta, start + item)?);
            }
        }
    }
    to.word(n);
    to.0.extend_from_slice(&found.0);
    Ok(())
}

/// Reads one back.
///
/// # Errors
/// What is wrong with it: then none of it can be trusted.
pub(in crate::queue) fn read(bytes: &[u8]) -> Result<Image<'_>, String> {
    let short = || "it is cut off".to_owned();
    let (body, check) = bytes.split_last_chunk::<8>().ok_or_else(short)?;
    if u64::from_le_bytes(*check) != u64::from(crc32fast::hash(body)) {
        return Err("its checksum is wrong".to_owned());
    }
    let mut from = Reader { rest: body, format: FORMAT };
    if from.word().ok_or_else(short)? != MAGIC {
        return Err("it is something else".to_owned());
    }
    let format = from.word().ok_or_else(short)?;
    from.format = format;
    if !(1..=FORMAT).contains(&format) {
        return Err(format!("its format is {format}, not {FORMAT}"));
    }
    let image = from.image().ok_or("its parts do not fit each other")?;
    if from.rest.is_empty() { Ok(image) } else { Err("there is something behind its end".to_owned()) }
}

pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub(super) fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// The checksum behind all of it.
    pub(super) fn seal(&mut self) {
        self.word(u64::from(crc32fast::hash(&self.0)));
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    format: u64,
}

impl<'a> Reader<'a> {
    fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.word()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn image(&mut self) -> Option<Image<'a>> {
        let taken = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.word()?))?;
        let owner = Identity { pipeline: self.text()?, file: self.text()? };
        let n = self.word()?;
        let queues = (0..n).map(|_| self.queue()).collect::<Option<_>>()?;
        Some(Image { owner, taken, queues })
    }

    fn queue(&mut self) -> Option<QueueImage<'a>> {
        let id = u16::try_from(self.word()?).ok().filter(|&id| usize::from(id) < MAX_QUEUES)?;
        let mut words = [0; COPIED_WORDS.len()];
        let n = WORDS_OF_FORMAT.get(self.format as usize - 1).copied().unwrap_or(words.len());
        for word in &mut words[..n] {
            *word = self.word()?;
        }
        let label = self.text()?;
        let n = self.word()?;
        let items = (0..n).map(|_| self.item()).collect::<Option<_>>()?;
        Some(QueueImage { id: QueueId(id), label, words, items })
    }

    fn item(&mut self) -> Option<ItemImage<'a>> {
        let (sequence, failures, mark) = (self.word()?, self.word()?, self.word()?);
        let due = if self.format > 1 { self.word()? } else { 0 };
        let (failures, known_bad) = (failures & u64::from(u32::MAX), failing::known_bad(failures >> 32));
        Some(ItemImage { sequence, failures, known_bad, mark, due, bytes: self.bytes()? })
    }
}
