//! A transaction: the lock, a private list of control words to change, and one store that makes them all true.
//!
//! **The one rule.** Before `commit` a transaction writes only into cells that the committed state regards as free:
//! ring slots at or after TAIL, stack cells at or above the count, table entries whose bit is clear. So it never
//! pops and pushes the same stack, and never reuses a table entry that it ends itself.
//!
//! The order of the stores is what a SIGKILL must find: slots and journal entries, then the commit word (the commit
//! point), then the words, then commit word 0. A kill stops this thread's stores in program order, so compiler
//! fences are enough; other processes see them through the lock's Release and Acquire.

use super::event::{self, Event};
use super::layout::{self, DECIDED, JOURNAL_MAX, LOCK, REDONE, STOPPED, TAKEOVERS, class};
use super::lock::{self, Haste, Me};
use super::memory::Memory;
use super::{Fault, inject, saving};
use std::sync::atomic::{Ordering::SeqCst, compiler_fence};

/// Bytes of blocks that a file makes room for at once.
const PREPARED_AT_ONCE: u64 = 256 << 10;

/// Buffers that outlive a transaction, so that none allocates inside the lock.
pub(super) struct Scratch {
    /// Where the thread's journal lies.
    journal: usize,
    writes: Vec<(usize, u64)>,
    wakes: Vec<(Event, i32)>,
    /// The number of the last change, where they are counted.
    change: Option<u64>,
}

impl Scratch {
    pub fn new(journal: usize) -> Scratch {
        Scratch {
            journal,
            writes: Vec::with_capacity(JOURNAL_MAX),
            wakes: Vec::with_capacity(128),
            change: None,
        }
    }
}

/// An open transaction. Dropped without `commit`, it changed nothing.
pub(super) struct Tx<'a> {
    pub memory: &'a Memory,
    me: &'a Me,
    scratch: &'a mut Scratch,
}

impl<'a> Tx<'a> {
    #[inline]
    pub fn begin(
        memory: &'a Memory,
        me: &'a Me,
        scratch: &'a mut Scratch,
        haste: Haste,
    ) -> Result<Tx<'a>, Fault> {
        let died = lock::lock(memory.word32(LOCK), me, haste)?;
        scratch.writes.clear();
        scratch.wakes.clear();
        scratch.change = None;
        let tx = Tx { memory, me, scratch };
        if died {
            memory.store(TAKEOVERS, memory.load(TAKEOVERS).wrapping_add(1));
        }
        if memory.load(DECIDED) != 0 {
            redo(memory)?;
        }
        if died {
            tx.scratch.change = saving::count_change(memory); // it may have died before that
        }
        Ok(tx)
    }

    /// The word as this transaction will leave it.
    #[inline]
    pub fn get(&self, at: usize) -> u64 {
        let mine = self.scratch.writes.iter().rev().find(|write| write.0 == at);
        mine.map_or_else(|| self.memory.load(at), |write| write.1)
    }

    #[inline]
    pub fn set(&mut self, at: usize, value: u64) {
        match self.scratch.writes.iter_mut().rev().find(|write| write.0 == at) {
            Some(write) => write.1 = value,
            None => self.scratch.writes.push((at, value)),
        }
    }

    #[inline]
    pub fn add(&mut self, at: usize, more: u64) {
        match self.scratch.writes.iter_mut().rev().find(|write| write.0 == at) {
            Some(write) => write.1 = write.1.wrapping_add(more),
            None => self.scratch.writes.push((at, self.memory.load(at).wrapping_add(more))),
        }
    }

    #[inline]
    pub fn subtract(&mut self, at: usize, less: u64) {
        self.add(at, less.wrapping_neg());
    }

    /// Makes all collected words true in one step. The transaction may go on with notifications.
    ///
    /// Fails, with nothing changed, only when there are more words than the journal holds: the sum of all bounds of
    /// this module is below that, so a worker's own table must have been overwritten.
    #[inline]
    pub fn commit(&mut self) -> Result<(), Fault> {
        let (memory, journal) = (self.memory, self.scratch.journal);
        let writes = &mut self.scratch.writes;
        let changes = !writes.is_empty();
        compiler_fence(SeqCst);
        if let [(at, value)] = writes[..] {
            memory.store(at, value);
        } else if !writes.is_empty() {
            if writes.len() > JOURNAL_MAX {
                return Err(Fault::damaged(
                    "the words of a transaction",
                    journal as u64,
                    writes.len() as u64,
                ));
            }
            for (i, (at, value)) in writes.iter().enumerate() {
                memory.store(journal + i * 16, *at as u64);
                memory.store(journal + i * 16 + 8, *value);
            }
            compiler_fence(SeqCst);
            memory.store(DECIDED, layout::decided(journal, writes.len())); // the commit point
            compiler_fence(SeqCst);
            for (at, value) in writes.iter() {
                memory.store(*at, *value);
            }
            compiler_fence(SeqCst);
            memory.store(DECIDED, 0);
        }
        compiler_fence(SeqCst);
        writes.clear();
        if changes {
            self.scratch.change = saving::count_change(memory).or(self.scratch.change);
        }
        Ok(())
    }

    /// The number of the change that was committed, where changes are counted.
    #[inline]
    pub fn change(&self) -> Option<u64> {
        self.scratch.change
    }

    /// After the commit: one sleeper on the event, if any, is woken when the lock is free. All, while a worker is
    /// stopped: it may be the one that the kernel picks, and would keep the wake-up to itself.
    #[inline]
    pub fn notify(&mut self, event: Event) {
        if self.memory.load(STOPPED) != 0 {
            self.notify_all(event);
        } else if event::is_idle(self.memory, event) {
            event::ring(self.memory, event);
            self.scratch.wakes.push((event, 1));
        }
    }

    /// After the commit: all sleepers on the event are woken.
    pub fn notify_all(&mut self, event: Event) {
        event::ring(self.memory, event);
        self.scratch.wakes.push((event, i32::MAX));
    }

    /// After the commit: all sleepers on the event are woken, if there may be any.
    #[inline]
    pub fn notify_all_idle(&mut self, event: Event) {
        if event::is_idle(self.memory, event) {
            self.notify_all(event);
        }
    }

    /// Announces a sleeper on the event; returns the sequence to sleep on after the transaction.
    pub fn expect(&mut self, event: Event) -> u32 {
        event::announce(self.memory, event)
    }

    /// Puts a block on its class's stack of free ones.
    pub fn free(&mut self, block: u64) -> Result<u64, Fault> {
        let class = layout::class_of_block(block)?;
        let count = layout::class_at(class) + class::HOT;
        let n = self.get(count);
        if n >= layout::class_blocks(class) {
            return Err(Fault::damaged("the count of free blocks", count as u64, n));
        }
        self.memory.store(layout::stack_cell(class, false, n), block);
        self.set(count, n + 1);
        Ok(layout::block_size(class))
    }

    /// Takes a free block of a class, the most recently used first.
    pub fn allocate(&mut self, class: usize) -> Result<u64, Fault> {
        let at = layout::class_at(class);
        for (count, cold) in [(at + class::HOT, false), (at + class::COLD, true)] {
            let n = self.get(count);
            if n > layout::class_blocks(class) {
                return Err(Fault::damaged("the count of free blocks", count as u64, n));
            }
            if n > 0 {
                let block = self.memory.load(layout::stack_cell(class, cold, n - 1));
                match layout::class_of_block(block)? {
                    of if of == class => {}
                    of => return Err(Fault::damaged("the class of a free block", block, of as u64)),
                }
                if cold {
                    self.memory.reserve(block as usize, layout::block_size(class) as usize)?;
                }
                self.set(count, n - 1);
                return Ok(block);
            }
        }
        self.carve(class)
    }

    /// A block that nobody has used yet.
    fn carve(&mut self, class: usize) -> Result<u64, Fault> {
        let at = layout::class_at(class);
        let carved = self.get(at + class::CARVED);
        if carved >= layout::class_blocks(class) {
            return Err(Fault::Exhausted(layout::block_size(class)));
        }
        if self.memory.is_file() && carved >= self.get(at + class::PREPARED) {
            let prepared = prepare(self.memory, class, carved)?;
            self.set(at + class::PREPARED, prepared);
        }
        self.set(at + class::CARVED, carved + 1);
        Ok(layout::block_at(class, carved))
    }
}

/// In a file: takes the room for the next blocks of a class, and for their cells on both stacks.
#[cold]
fn prepare(memory: &Memory, class: usize, carved: u64) -> Result<u64, Fault> {
    let n = (PREPARED_AT_ONCE / layout::block_size(class)).clamp(1, layout::class_blocks(class) - carved);
    let size = layout::block_size(class) * n;
    memory.reserve(layout::block_at(class, carved) as usize, size as usize)?;
    for cold in [false, true] {
        memory.reserve(layout::stack_cell(class, cold, carved), n as usize * 8)?;
    }
    Ok(carved + n)
}

impl Drop for Tx<'_> {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            die_with_lock();
            return;
        }
        inject::step();
        lock::unlock(self.memory.word32(LOCK), self.me);
        inject::step();
        for (event, n) in &self.scratch.wakes {
            event::wake(self.memory, *event, *n);
        }
        if self.scratch.change.is_some() {
            saving::tell_saver(self.memory);
        }
    }
}

/// A panic inside the lock is a bug here; unwinding on would keep the lock for ever, a death hands it on.
fn die_with_lock() {
    if cfg!(not(any(test, feature = "inject"))) {
        std::process::abort();
    }
}

/// The last owner died after its commit point: what it decided is done now. Absolute values, so again is no harm.
#[cold]
fn redo(memory: &Memory) -> Result<(), Fault> {
    let (journal, n) = layout::decided_where(memory.load(DECIDED))?;
    for i in 0..n {
        let entry = journal + i * 16;
        let at = memory.load(entry);
        if !(layout::QUEUES as u64..layout::HEAP as u64).contains(&at) || !at.is_multiple_of(8) {
            return Err(Fault::damaged("an offset in the journal", entry as u64, at));
        }
        memory.store(at as usize, memory.load(entry + 8));
    }
    compiler_fence(SeqCst);
    memory.store(DECIDED, 0);
    memory.store(REDONE, memory.load(REDONE).wrapping_add(1));
    Ok(())
}
