//! What the token says of the file, and how it is brought up to date at the beginning of a turn.

use super::outlet::Outlet;
use super::{Beginning, Mode, ToFile, name};
use crate::append::{self, CountedFile, Counts, NO_MARK, Turn};
use crate::stage::Orders;
use std::io;
use std::path::Path;
use std::time::SystemTime;

impl ToFile {
    /// What the file is called in the token: with {worker} it is one for each.
    pub(super) fn name(&self) -> Vec<u8> {
        let named = self.template.render(&self.stage, self.worker, SystemTime::UNIX_EPOCH);
        name(&self.folder.join(named)).to_owned()
    }

    /// The turn that writes now.
    pub(super) fn turn(&self) -> Turn {
        Turn { number: self.counts.turn + 1, whose: append::whose(&self.stage) }
    }

    /// What the token is to say once this turn is committed.
    pub(super) fn counts_with_turn(&self) -> Counts {
        let mut counts = self.counts.clone();
        if let (Some(written), Some(outlet)) = (&self.written, &self.outlet) {
            counts.turn += 1;
            counts.set(self.counted(outlet, written.end));
        }
        counts
    }

    fn counted(&self, outlet: &Outlet, length: u64) -> CountedFile {
        let (path, file) = (name(&outlet.path).to_owned(), outlet.appender.id());
        CountedFile { name: self.name(), path, file, length, mark: outlet.mark() }
    }

    /// Before the first write of a turn, or to a file that has taken the place of another meanwhile.
    pub(super) fn look_for_others(&mut self) -> io::Result<()> {
        let own = self.name();
        let Some(outlet) = &mut self.outlet else { return Ok(()) };
        let known = self.counts.of(&own).filter(|known| known.file == outlet.appender.id());
        outlet.look_for_others(known.map_or(NO_MARK, |known| known.mark))
    }

    /// The turn before this one was committed: else this worker would be gone, or have been told the token's state.
    pub(super) fn count_last_turn(&mut self) {
        self.counts = self.counts_with_turn();
        self.written = None;
    }

    /// A worker that died in its turn has left a note: what it wrote does not count.
    pub(super) fn settle(&self) -> io::Result<()> {
        let Some(notes) = &self.notes else { return Ok(()) };
        let own = self.outlet.as_ref().map(|outlet| outlet.appender.as_own(&outlet.path));
        append::settle(notes, &self.counts, own, &self.log)
    }

    /// The first turn of a run in this file.
    pub(super) fn begin_run(&mut self, path: &Path) -> io::Result<()> {
        let Some(outlet) = &self.outlet else { return Ok(()) };
        // Another machine may have begun: its position came with the stage.
        let is_known = self.counts.of(&self.name()).is_some();
        let is_added_to = self.continues || is_known || self.mode == Mode::Append;
        let how = match self.shared_run {
            _ if is_added_to => Beginning::NewLine,
            Some(run) => Beginning::EmptyOnce(run),
            None => Beginning::Empty,
        };
        let found = outlet.appender.begin_run(how, name(path))?;
        self.log.set_begun(&self.key())?;
        self.log_begin(path, found);
        if self.counts.run != self.run.as_bytes() {
            let same = if is_added_to { self.same_file()? } else { None };
            (self.counts.run, self.counts.files) =
                (self.run.clone().into_bytes(), same.into_iter().collect());
        }
        Ok(())
    }

    /// The file that an earlier run has counted, with its present length, unless another writer has marked it since. Its mark stays: the
    /// position at a broker names that mark until the first turn of this run is acknowledged, and the lines of that turn are cut off by it.
    fn same_file(&self) -> io::Result<Option<CountedFile>> {
        let Some(outlet) = &self.outlet else { return Ok(None) };
        let known = self.counts.of(&self.name()).filter(|known| known.file == outlet.appender.id());
        match known {
            Some(known) if outlet.appender.has_mark(known.mark)? => {
                Ok(Some(CountedFile { length: outlet.appender.length()?, ..known.clone() }))
            }
            _ => Ok(None),
        }
    }

    /// The token names the file that this turn writes to.
    pub(super) fn count_from_here(&mut self) -> io::Result<()> {
        self.look_for_others()?;
        let Some(outlet) = &self.outlet else { return Ok(()) };
        let own = self.name();
        if !outlet.is_counted() {
            // Its length is no measure of what counts: others write it, too, and nothing of theirs may be cut off.
            self.counts.forget(&own);
            return Ok(());
        }
        let known = self.counts.of(&own);
        let length = match known {
            Some(known) if known.file == outlet.appender.id() && known.mark == outlet.mark() => known.length,
            _ => outlet.appender.length()?,
        };
        let next = self.counted(outlet, length);
        if known != Some(&next) {
            if self.orders.as_ref().is_some_and(Orders::are_queues_saved) {
                // What was written to another file is safe before nobody knows of that any more.
                append::sync(&self.counts)?;
            }
            self.counts.set(next);
        }
        Ok(())
    }

    /// Once, and again when it has changed.
    pub(super) fn say_if_shared(&mut self, path: &Path) {
        let Some(outlet) = &self.outlet else { return };
        let is_shared = outlet.appender.is_file() && !outlet.is_counted();
        if is_shared && !self.said_shared {
            let shown = path.display();
            log::info!(
                "`{shown}` is written by another stage, pipeline or machine, or was so at the same time, or can't be read: after a \
                 kill items may come twice"
            );
        }
        self.said_shared = is_shared;
    }
}
