//! The mapping: one memory file, seen as words and blocks.

use super::descriptor::{Meta, inline_word};
use super::layout::{BlockAt, DescriptorAt, EntryAt, HEAP, SIZE, descriptor, entry};
use super::place::{At, WordAt, Words};
use super::{fault::Fault, inject};
#[cfg(not(miri))]
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The mapped file.
pub(crate) struct Memory {
    pub(super) base: NonNull<u8>,
    pub(super) fd: OwnedFd,
    file: bool,
}

// SAFETY: the mapping lives as long as the value, is never moved, and is only touched through atomics and through
// blocks whose one owner the queue's own rules decide.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    #[cfg(not(miri))]
    pub(crate) fn map(fd: OwnedFd) -> Result<Memory, Fault> {
        let (protect, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: a new mapping at an address of the kernel's choice; the result is checked.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protect, flags, fd.as_raw_fd(), 0) };
        let base = match NonNull::new(at.cast::<u8>()) {
            Some(base) if at != libc::MAP_FAILED => base,
            _ => {
                return Err(Fault::system(
                    "failed to map queue memory (address space only: is `ulimit -v` set?)",
                ));
            }
        };
        // A forked child has no business here before it execs, and a core dump none with a sparse terabyte.
        // SAFETY: the range is the mapping made above.
        unsafe {
            libc::madvise(at, SIZE, libc::MADV_DONTFORK);
            libc::madvise(at, SIZE, libc::MADV_DONTDUMP);
        }
        // SAFETY: a plain system call on an own descriptor.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        let file = seals < 0 || seals & libc::F_SEAL_SHRINK == 0;
        Ok(Memory { base, fd, file })
    }

    #[cfg(miri)]
    pub(super) fn at(base: NonNull<u8>, fd: OwnedFd) -> Memory {
        Memory { base, fd, file: false }
    }

    /// Whether its pages lie in a file system, and can run out there; else it is sealed memory.
    #[inline]
    pub(crate) fn is_file(&self) -> bool {
        self.file
    }

    #[inline]
    pub(crate) fn word(&self, at: WordAt) -> &AtomicU64 {
        let offset = at.offset();
        assert!(offset < SIZE && offset.is_multiple_of(8), "offset {offset:#x} is no control word");
        // SAFETY: inside the mapping, aligned, and only ever accessed as an atomic word: in the heap it is the head of an
        // extent, which no payload overlaps, or in a block that is a list of descriptors.
        unsafe { self.base.add(offset).cast::<AtomicU64>().as_ref() }
    }

    #[inline]
    pub(crate) fn word32(&self, at: At<u32>) -> &AtomicU32 {
        inject::yield_point();
        let offset = at.offset();
        assert!(offset < HEAP && offset.is_multiple_of(4), "offset {offset:#x} is no control word");
        // SAFETY: as in `word`.
        unsafe { self.base.add(offset).cast::<AtomicU32>().as_ref() }
    }

    #[inline]
    pub(crate) fn load(&self, at: WordAt) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    /// Every store to shared words passes here: the places to die of the crash tests.
    #[inline]
    pub(crate) fn store(&self, at: WordAt, value: u64) {
        inject::step();
        self.word(at).store(value, Ordering::Relaxed);
    }

    /// Stores `new` where `old` still stands; false: another process was faster. For a word that is whole by itself, and
    /// that changes without the lock.
    pub(crate) fn replace(&self, at: WordAt, old: u64, new: u64) -> bool {
        inject::step();
        self.word(at).compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Adds to a word that only this thread writes, or only under the lock.
    #[inline]
    pub(crate) fn add(&self, at: WordAt, more: u64) {
        self.store(at, self.load(at).wrapping_add(more));
    }

    /// Writes text into control memory, word by word.
    pub(crate) fn write_text(&self, at: At<Words>, text: &[u8]) {
        for (i, chunk) in text.chunks(8).enumerate() {
            self.store(at.word(i), inline_word(chunk));
        }
    }

    pub(crate) fn read_text(&self, at: At<Words>, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|i| self.load(at.word(i)).to_le_bytes());
        words.take(len).collect()
    }

    /// Text after the word that holds its length, cut to what there can be.
    pub(crate) fn read_string(&self, len: WordAt, text: At<Words>, max: usize) -> String {
        let len = (self.load(len) as usize).min(max);
        String::from_utf8_lossy(&self.read_text(text, len)).into_owned()
    }
}

/// Items: their descriptors, and the payloads that these name.
impl Memory {
    #[inline]
    pub(crate) fn meta(&self, at: impl Into<DescriptorAt>) -> Meta {
        Meta(self.load(at.into() + descriptor::META))
    }

    /// A payload itself, or the word that names its block.
    #[inline]
    pub(crate) fn data(&self, at: impl Into<DescriptorAt>) -> u64 {
        self.load(at.into() + descriptor::DATA)
    }

    /// The block of an item that has one.
    #[inline]
    pub(crate) fn block_of(&self, at: impl Into<DescriptorAt>) -> BlockAt {
        BlockAt::named_by(self.data(at))
    }

    #[inline]
    pub(crate) fn store_descriptor(&self, at: impl Into<DescriptorAt>, data: u64, meta: Meta) {
        let at = at.into();
        self.store(at + descriptor::DATA, data);
        self.store(at + descriptor::META, meta.0);
    }

    #[inline]
    pub(crate) fn copy_descriptor(&self, from: impl Into<DescriptorAt>, to: impl Into<DescriptorAt>) {
        self.copy_words::<{ descriptor::WORDS }>(from.into().offset(), to.into().offset());
    }

    #[inline]
    pub(crate) fn copy_entry(&self, from: EntryAt, to: EntryAt) {
        self.copy_words::<{ entry::WORDS }>(from.offset(), to.offset());
    }

    #[inline]
    fn copy_words<const WORDS: usize>(&self, from: usize, to: usize) {
        let (from, to) = (At::<Words>::new(from), At::<Words>::new(to));
        for i in 0..WORDS {
            self.store(to.word(i), self.load(from.word(i)));
        }
    }

    /// The payload of a leased item, or of one that is only read under the lock; of a run, its first.
    #[inline]
    pub(crate) fn item(&self, at: impl Into<DescriptorAt>) -> Result<&[u8], Fault> {
        let at = at.into();
        let meta = self.meta(at);
        self.payload(at, meta, meta.as_span().map_or(0, |run| run.first))
    }

    /// The same, of a descriptor whose meta word was read before; `n`: of an extent, which item.
    #[inline]
    pub(crate) fn payload(&self, at: DescriptorAt, meta: Meta, n: usize) -> Result<&[u8], Fault> {
        match meta.has_block() {
            false => Ok(self.inline(at, meta.len())),
            true if meta.as_span().is_some() => self.item_of(self.block_of(at), n),
            true => self.block(self.block_of(at), meta.len()),
        }
    }

    /// The inline payload in a descriptor.
    #[inline]
    fn inline(&self, at: DescriptorAt, len: usize) -> &[u8] {
        let word: *const u8 = self.word(at + descriptor::DATA).as_ptr().cast_const().cast();
        // SAFETY: a descriptor's first word; `len` is cut to its 8 bytes. It belongs to the caller's lease, so
        // no process that keeps to the rules writes it meanwhile.
        unsafe { std::slice::from_raw_parts(word, len.min(8)) }
    }

    /// The payload of `len` bytes in a block.
    #[inline]
    pub(crate) fn block(&self, block: BlockAt, len: usize) -> Result<&[u8], Fault> {
        let at = self.block_start(block, len)?;
        // SAFETY: `block_start` checked that the block's first `len` bytes are inside the heap. The block belongs to the
        // caller's lease, so no process that keeps to the rules writes it meanwhile.
        Ok(unsafe { std::slice::from_raw_parts(at.as_ptr(), len) })
    }

    /// Lets `fill` write a payload into a block that the caller has reserved.
    #[inline]
    pub(crate) fn fill(&self, block: BlockAt, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
        let to = self.block_start(block, len)?;
        inject::step();
        // SAFETY: as in `block`; the reserved block is the caller's alone, and the slice ends with this call.
        fill(unsafe { std::slice::from_raw_parts_mut(to.as_ptr(), len) });
        Ok(())
    }

    /// Copies a payload out of its block.
    pub(crate) fn copy_out(&self, from: BlockAt, to: &mut [u8]) -> Result<(), Fault> {
        copy(self.block(from, to.len())?, to);
        Ok(())
    }

    #[inline]
    pub(super) fn block_start(&self, block: BlockAt, len: usize) -> Result<NonNull<u8>, Fault> {
        let class = block.class()?;
        if len as u64 > class.block_size() {
            return Err(Fault::damaged("an item's length", block, len as u64));
        }
        // SAFETY: `class` found it inside the heap, which is inside the mapping.
        Ok(unsafe { self.base.add(block.offset()) })
    }

    /// Where an offset is: not to be followed unless it was checked.
    #[inline]
    pub(crate) fn address(&self, offset: usize) -> *const u8 {
        self.base.as_ptr().cast_const().wrapping_add(offset)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` and nothing borrowed from it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), SIZE) };
    }
}

/// Copies bytes, of the arena or not, to as many of the arena. Should they overlap, which only damage could bring about, the copy
/// allows for it.
#[inline]
pub(crate) fn copy(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "a copy of another length");
    // SAFETY: both have this length.
    unsafe { from.as_ptr().copy_to(to.as_mut_ptr(), to.len()) };
}
