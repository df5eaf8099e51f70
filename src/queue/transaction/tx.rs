//! A transaction: the lock, a private list of control words to change, and one store that makes them all true.
//!
//! **The one rule.** Before `commit` a transaction writes only into cells that the committed state regards as free:
//! ring slots at or after TAIL, stack cells at or above the count, table entries whose bit is clear. So it never
//! pops and pushes the same stack, and never reuses a table entry that it ends itself.
//!
//! The order of the stores is what a SIGKILL must find: slots and journal entries, then the commit word (the commit
//! point), then the words, then commit word 0. A kill stops this thread's stores in program order, so compiler
//! fences are enough; other processes see them through the lock's Release and Acquire.

use super::lock::{self, LockPriority, RobustThread};
use super::{checkpoint, event};
use crate::queue::arena::layout::{
    self, DECIDED, EventAt, JOURNAL_MAX, JournalAt, LOCK, REDONE, STOPPED, TAKEOVERS,
};
use crate::queue::arena::{fault::Fault, inject, memory::Memory, place::WordAt};
use std::sync::atomic::{Ordering::SeqCst, compiler_fence};

/// Buffers that outlive a transaction, so that none allocates inside the lock.
pub(crate) struct Scratch {
    journal: JournalAt,
    writes: Vec<(WordAt, u64)>,
    /// A bit for each word of `writes`, and maybe for others: most words that are read have none, and need no search.
    written: u64,
    wakes: Vec<(EventAt, i32)>,
    /// Events to be notified after the commit, and whether all waiters are meant.
    due: Vec<(EventAt, bool)>,
    /// The number of the last change, where they are counted.
    change: Option<u64>,
}

impl Scratch {
    pub(crate) fn new(journal: JournalAt) -> Scratch {
        Scratch {
            journal,
            writes: Vec::with_capacity(JOURNAL_MAX),
            written: 0,
            wakes: Vec::with_capacity(128),
            due: Vec::with_capacity(64),
            change: None,
        }
    }

    #[inline]
    fn push(&mut self, at: WordAt, value: u64) {
        self.writes.push((at, value));
        self.written |= bit_of(at);
    }
}

/// The words of one queue have different bits.
#[inline]
fn bit_of(at: WordAt) -> u64 {
    1 << (at.offset() / 8 % 64)
}

/// An open transaction. Dropped without `commit`, it changed nothing.
pub(crate) struct Tx<'a> {
    pub memory: &'a Memory,
    thread: &'a RobustThread,
    scratch: &'a mut Scratch,
}

impl<'a> Tx<'a> {
    #[inline]
    pub(crate) fn begin(
        memory: &'a Memory,
        thread: &'a RobustThread,
        scratch: &'a mut Scratch,
        priority: LockPriority,
    ) -> Result<Tx<'a>, Fault> {
        let died = lock::lock(memory.word32(LOCK), thread, priority)?;
        scratch.writes.clear();
        scratch.written = 0;
        scratch.wakes.clear();
        scratch.due.clear();
        scratch.change = None;
        let tx = Tx { memory, thread, scratch };
        if died {
            memory.add(TAKEOVERS, 1);
        }
        if memory.load(DECIDED) != 0 {
            redo(memory)?;
        }
        if died {
            tx.scratch.change = checkpoint::count_change(memory); // it may have died before that
        }
        Ok(tx)
    }

    /// The word as this transaction will leave it.
    #[inline]
    pub(crate) fn get(&self, at: WordAt) -> u64 {
        self.find(at).map_or_else(|| self.memory.load(at), |i| self.scratch.writes[i].1)
    }

    #[inline]
    pub(crate) fn set(&mut self, at: WordAt, value: u64) {
        match self.find(at) {
            Some(i) => self.scratch.writes[i].1 = value,
            None => self.scratch.push(at, value),
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, at: WordAt, more: u64) {
        self.set(at, self.get(at).wrapping_add(more));
    }

    /// Which of the collected words it is.
    #[inline]
    fn find(&self, at: WordAt) -> Option<usize> {
        if self.scratch.written & bit_of(at) == 0 {
            return None;
        }
        self.scratch.writes.iter().rposition(|write| write.0 == at)
    }

    #[inline]
    pub(crate) fn subtract(&mut self, at: WordAt, less: u64) {
        self.add(at, less.wrapping_neg());
    }

    /// Makes all collected words true in one step. Notifications may follow in the same transaction.
    ///
    /// Fails, with nothing changed, only when there are more words than the journal holds: the sum of all bounds of
    /// this module is below that, so a worker's own table must have been overwritten.
    #[inline]
    pub(crate) fn commit(&mut self) -> Result<(), Fault> {
        let (memory, journal) = (self.memory, self.scratch.journal);
        let writes = &mut self.scratch.writes;
        let changes = !writes.is_empty();
        compiler_fence(SeqCst);
        if let [(at, value)] = writes[..] {
            memory.store(at, value);
        } else if changes {
            if writes.len() > JOURNAL_MAX {
                return Err(Fault::damaged("the words of a transaction", journal, writes.len() as u64));
            }
            for (i, (at, value)) in writes.iter().enumerate() {
                let [offset_at, value_at] = journal.pair(i);
                memory.store(offset_at, (*at).into());
                memory.store(value_at, *value);
            }
            compiler_fence(SeqCst);
            memory.store(DECIDED, journal.decided(writes.len())); // the commit point
            compiler_fence(SeqCst);
            for (at, value) in writes.iter() {
                memory.store(*at, *value);
            }
            compiler_fence(SeqCst);
            memory.store(DECIDED, 0);
        }
        compiler_fence(SeqCst);
        writes.clear();
        self.scratch.written = 0;
        if changes {
            self.scratch.change = checkpoint::count_change(memory).or(self.scratch.change);
        }
        while let Some((event, is_for_all)) = self.scratch.due.pop() {
            if is_for_all { self.notify_all_idle(event) } else { self.notify(event) }
        }
        Ok(())
    }

    /// Words that the transaction can change still.
    pub(crate) fn words_left(&self) -> usize {
        JOURNAL_MAX.saturating_sub(self.scratch.writes.len())
    }

    /// The commit notifies this event too: one of its waiters, or all.
    pub(crate) fn notify_at_commit(&mut self, event: EventAt, all: bool) {
        match self.scratch.due.iter_mut().find(|due| due.0 == event) {
            Some(due) => due.1 |= all,
            None => self.scratch.due.push((event, all)),
        }
    }

    /// The number of the change that was committed, where changes are counted.
    #[inline]
    pub(crate) fn change(&self) -> Option<u64> {
        self.scratch.change
    }

    /// After the commit: one waiter on the event, if any, is woken when the lock is free. All, while a worker is
    /// stopped: it may be the one that the kernel picks, and would keep the wake-up to itself.
    #[inline]
    pub(crate) fn notify(&mut self, event: EventAt) {
        if self.memory.load(STOPPED) != 0 {
            self.notify_all(event);
        } else if event::is_idle(self.memory, event) {
            event::advance(self.memory, event);
            self.scratch.wakes.push((event, 1));
        }
    }

    /// After the commit: all waiters on the event are woken.
    pub(crate) fn notify_all(&mut self, event: EventAt) {
        event::advance(self.memory, event);
        self.scratch.wakes.push((event, i32::MAX));
    }

    /// After the commit: all waiters on the event are woken, if there may be any.
    #[inline]
    pub(crate) fn notify_all_idle(&mut self, event: EventAt) {
        if event::is_idle(self.memory, event) {
            self.notify_all(event);
        }
    }

    /// Registers a waiter on the event; returns the sequence to sleep on after the transaction.
    pub(crate) fn register_waiter(&mut self, event: EventAt) -> u32 {
        event::register_waiter(self.memory, event)
    }
}

impl Drop for Tx<'_> {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            die_with_lock();
            return;
        }
        inject::step();
        lock::unlock(self.memory.word32(LOCK), self.thread);
        inject::step();
        for (event, n) in &self.scratch.wakes {
            event::wake(self.memory, *event, *n);
        }
        if self.scratch.change.is_some() {
            checkpoint::notify_saver(self.memory);
        }
    }
}

/// A panic inside the lock is a bug here; unwinding further would keep the lock for ever, a death passes it on.
fn die_with_lock() {
    if cfg!(not(any(test, feature = "inject"))) {
        std::process::abort();
    }
}

/// The last owner died after its commit point: what it decided is done now. Absolute values, so again is no harm.
#[cold]
fn redo(memory: &Memory) -> Result<(), Fault> {
    let (journal, n) = JournalAt::of_decided(memory.load(DECIDED))?;
    for i in 0..n {
        let [offset_at, value_at] = journal.pair(i);
        let word = layout::journalled_word(memory.load(offset_at), offset_at)?;
        memory.store(word, memory.load(value_at));
    }
    compiler_fence(SeqCst);
    memory.store(DECIDED, 0);
    memory.add(REDONE, 1);
    Ok(())
}
