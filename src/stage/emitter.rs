//! Where a stage's outputs go.

use super::Failure;
use std::fmt;

/// Takes outputs: a worker's queues or its standard output; in a test of your own stage, a `Vec`.
pub trait Outlet {
    /// Takes a copy of one item.
    ///
    /// # Errors
    /// When the item is too long, or the output has no reader left.
    fn put(&mut self, item: &[u8]) -> Result<(), Failure>;

    /// Takes a copy of one item for one of several outputs alone, by its place among them.
    ///
    /// # Errors
    /// As [`Outlet::put`].
    fn put_to(&mut self, output: usize, item: &[u8]) -> Result<(), Failure> {
        let _ = output;
        self.put(item)
    }

    /// Bytes of the longest item that it takes.
    fn longest(&self) -> u64 {
        u64::MAX
    }

    /// Takes note of what was too long to be an item, and is left out.
    ///
    /// # Errors
    /// When that can't be done: then it must not be left out.
    fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        Err(Failure::fatal(what.to_string()))
    }
}

/// What a source read, and what was too long to become an item.
#[derive(Clone, Copy, Debug)]
pub struct TooLong<'a> {
    /// Where it was read.
    pub file: &'a str,
    /// Bytes before it.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// The first of them: a KiB at most.
    pub head: &'a [u8],
}

impl fmt::Display for TooLong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooLong { file, offset, length, .. } = self;
        write!(f, "{file}, byte {offset}: {length} bytes are too long for an item")
    }
}

impl Outlet for Vec<Vec<u8>> {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.push(item.to_vec());
        Ok(())
    }
}

/// What a stage emits its outputs to, in order. They count only when the item (or the step of a source) succeeds.
///
/// ```
/// use mprun::Emitter;
///
/// let mut seen: Vec<Vec<u8>> = Vec::new();
/// let mut out = Emitter::new(&mut seen);
/// out.emit("one").unwrap();
/// out.emit(b"\xff\xfe").unwrap();
/// assert_eq!(seen, [&b"one"[..], b"\xff\xfe"]);
/// ```
pub struct Emitter<'a> {
    outlet: &'a mut dyn Outlet,
    /// Outputs still to be swallowed: an earlier try of the same item has published them.
    skip: u64,
    emitted: u64,
    failure: Option<Failure>,
}

impl<'a> Emitter<'a> {
    /// An emitter to an outlet of your own.
    pub fn new(outlet: &'a mut dyn Outlet) -> Emitter<'a> {
        Emitter::skipping(outlet, 0)
    }

    pub(crate) fn skipping(outlet: &'a mut dyn Outlet, skip: u64) -> Emitter<'a> {
        Emitter { outlet, skip, emitted: 0, failure: None }
    }

    /// Emits a copy of one item.
    ///
    /// # Errors
    /// When the item is too long for its queue, or the worker has to end. Hand the failure on with `?`; the item does
    /// not succeed without this output in any case.
    pub fn emit(&mut self, item: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.emit_by(|outlet| outlet.put(item.as_ref()))
    }

    /// Emits a copy of one item to one of the stage's outputs alone: [`Context::output`](super::Context) knows its place.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub(crate) fn emit_to(&mut self, output: usize, item: &[u8]) -> Result<(), Failure> {
        self.emit_by(|outlet| outlet.put_to(output, item))
    }

    fn emit_by(&mut self, put: impl FnOnce(&mut dyn Outlet) -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.emitted += 1;
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        put(self.outlet).inspect_err(|failure| self.failure = Some(failure.clone()))
    }

    /// Bytes of the longest item that can be emitted.
    pub fn longest(&self) -> u64 {
        self.outlet.longest()
    }

    /// Leaves out what was too long: it becomes a dead letter of its own kind, which is no item of any queue. Right
    /// after a [`Next::Checkpoint`](super::Next) only, and before another: what a step has published already can't be
    /// told from what it has not.
    ///
    /// # Errors
    /// When the letter can't be written, or the worker has to end.
    pub fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.outlet.too_long(what).inspect_err(|failure| self.failure = Some(failure.clone()))
    }

    /// Items emitted so far, by this item or step.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// The verdict on the whole: a stage can't succeed by ignoring that an output failed.
    pub(crate) fn conclude<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => result,
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Takes items up to this many bytes, and notes longer ones.
    pub struct Narrow {
        most: u64,
        pub items: Vec<Vec<u8>>,
        pub too_long: Vec<String>,
    }

    impl Narrow {
        pub fn new(most: u64) -> Narrow {
            Narrow { most, items: Vec::new(), too_long: Vec::new() }
        }
    }

    impl Outlet for Narrow {
        fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
            if item.len() as u64 > self.most {
                return Err(Failure::new("too long"));
            }
            self.items.push(item.to_vec());
            Ok(())
        }

        fn longest(&self) -> u64 {
            self.most
        }

        fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
            let TooLong { file, offset, length, head } = what;
            let head = String::from_utf8_lossy(head);
            self.too_long.push(format!("{file}, byte {offset}: {length} bytes: {head}"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Narrow;
    use super::*;

    #[test]
    fn outputs_that_are_out_already_are_skipped() {
        let mut seen = Vec::new();
        let mut out = Emitter::skipping(&mut seen, 2);
        for item in ["a", "b", "c"] {
            out.emit(item).unwrap();
        }
        assert_eq!(out.emitted(), 3);
        assert_eq!(seen, [b"c"]);
    }

    #[test]
    fn a_swallowed_failure_still_counts() {
        let mut outlet = Narrow::new(3);
        let mut out = Emitter::new(&mut outlet);
        assert!(out.emit("much too long").is_err());
        assert_eq!(out.emit("ok"), Err(Failure::new("too long")));
        assert_eq!(out.conclude(Ok(())), Err(Failure::new("too long")));
    }
}
