//! What a stage's token says of the files that its workers write by turns. Pure.
//!
//! Bytes: 2, the turn, the run, the number of files, and for each its name, its path, its id, the length that counts and its
//! mark (1: without marks);
//! numbers little-endian, texts with their length before them.

use super::entry::FileId;

/// The first byte: before this there was text, which begins with a digit or a letter.
const FORMAT: u8 = 2;
const WITHOUT_MARKS: u8 = 1;

/// What counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The last turn that was committed.
    pub turn: u64,
    /// The run that has begun with the files.
    pub run: Vec<u8>,
    pub files: Vec<CountedFile>,
}

/// A file, and how much of it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CountedFile {
    /// What the stage calls it: its path may be another one tomorrow.
    pub name: Vec<u8>,
    pub path: Vec<u8>,
    pub file: FileId,
    pub length: u64,
    /// The mark of the file while only this stage writes it; [`NO_MARK`](super::NO_MARK): nothing tells that.
    pub mark: u64,
}

impl Counts {
    /// The file of this name.
    pub(crate) fn of(&self, name: &[u8]) -> Option<&CountedFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Nothing of this file counts by its length.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        self.files.retain(|file| file.name != name);
    }

    /// Takes the place of what was known of the file of this name.
    pub(crate) fn set(&mut self, file: CountedFile) {
        match self.files.iter_mut().find(|known| known.name == file.name) {
            Some(known) => *known = file,
            None => self.files.push(file),
        }
    }

    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let text = |to: &mut Vec<u8>, text: &[u8]| {
            to.extend_from_slice(&(text.len() as u32).to_le_bytes());
            to.extend_from_slice(text);
        };
        to.push(FORMAT);
        to.extend_from_slice(&self.turn.to_le_bytes());
        text(to, &self.run);
        to.extend_from_slice(&(self.files.len() as u32).to_le_bytes());
        for CountedFile { name, path, file, length, mark } in &self.files {
            text(to, name);
            text(to, path);
            [file.device, file.inode, *length, *mark]
                .iter()
                .for_each(|word| to.extend_from_slice(&word.to_le_bytes()));
        }
    }

    /// What [`Counts::encode`] has written; `None`: it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Counts> {
        let (format, rest) = bytes.split_first()?;
        let has_marks = match *format {
            FORMAT => true,
            WITHOUT_MARKS => false,
            _ => return None,
        };
        let mut from = Reader(rest);
        let (turn, run) = (from.long()?, from.text()?);
        let files = (0..from.short()?).map(|_| from.file(has_marks)).collect::<Option<_>>()?;
        from.0.is_empty().then_some(Counts { turn, run, files })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn short(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.short()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text.to_vec())
    }

    fn file(&mut self, has_mark: bool) -> Option<CountedFile> {
        let (name, path) = (self.text()?, self.text()?);
        let file = FileId { device: self.long()?, inode: self.long()? };
        let length = self.long()?;
        let mark = if has_mark { self.long()? } else { super::NO_MARK };
        Some(CountedFile { name, path, file, length, mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back_as_it_was_and_nothing_else_is_taken_for_it() {
        let file = |name: &str, length| CountedFile {
            name: name.into(),
            path: [b'/', 0xff].into(),
            file: FileId { device: 1, inode: u64::MAX },
            length,
            mark: 7,
        };
        let mut counts = Counts { turn: 5, run: b"run".into(), files: vec![file("a", 1), file("b", 2)] };
        counts.set(file("b", 3));
        let mut bytes = Vec::new();
        counts.encode(&mut bytes);
        assert_eq!(Counts::decode(&bytes), Some(counts.clone()));
        assert_eq!((counts.files.len(), counts.of(b"b").unwrap().length), (2, 3));
        for cut in 0..bytes.len() {
            assert_eq!(Counts::decode(&bytes[..cut]), None);
        }
        bytes.push(0);
        assert_eq!(Counts::decode(&bytes), None);
        assert_eq!(Counts::decode(b"8f00ba\0/tmp/out"), None);
    }

    #[test]
    fn what_an_earlier_version_has_written_has_no_mark() {
        let mut bytes = vec![WITHOUT_MARKS];
        bytes.extend(5u64.to_le_bytes());
        bytes.extend([3, 0, 0, 0, b'r', b'u', b'n', 1, 0, 0, 0, 1, 0, 0, 0, b'a', 1, 0, 0, 0, b'/']);
        [1u64, 2, 3].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        let file = FileId { device: 1, inode: 2 };
        let (name, path) = (b"a".into(), b"/".into());
        let files = vec![CountedFile { name, path, file, length: 3, mark: super::super::NO_MARK }];
        assert_eq!(Counts::decode(&bytes), Some(Counts { turn: 5, run: b"run".into(), files }));
    }
}
