//! A commit and a lease's mark, as bytes in the arena.
//!
//! A commit: its format, the ends of leases, the step of its stage, marks, outputs. Each list stands behind its count, each text behind
//! its length; numbers have the lowest byte first. Its number is none of the bytes: it is the place in its line.

use super::{Commit, End, Output, Sequence, SharedQueue, Step};
use bytes::Bytes;

/// Counts changes of the format of a commit.
const FORMAT: u8 = 2;
/// Bytes of the mark in front of an item that was leased from a broker.
pub const MARK_LEN: usize = 16;

impl Sequence {
    /// What stands in front of the item while a machine has it.
    pub fn to_mark(self) -> [u8; MARK_LEN] {
        let mut mark = [0; MARK_LEN];
        mark[..8].copy_from_slice(&self.0.to_le_bytes());
        mark[8..].copy_from_slice(&self.1.to_le_bytes());
        mark
    }

    /// The mark of an item, and the item without it; `None`: it is too short to have one.
    pub fn split_mark(marked: &[u8]) -> Option<(Sequence, &[u8])> {
        let mut reader = Reader(marked);
        let sequence = reader.sequence()?;
        Some((sequence, reader.0))
    }
}

impl Commit {
    pub fn encode(&self) -> Vec<u8> {
        let outputs: usize = self.outputs.iter().map(|output| output.item.len() + 8).sum();
        let mut to = Vec::with_capacity(64 + self.ends.len() * 20 + outputs);
        to.push(FORMAT);
        list(&mut to, &self.ends, put_end);
        to.push(u8::from(self.step.is_some()));
        if let Some(step) = &self.step {
            text(&mut to, &step.from);
            text(&mut to, &step.to);
        }
        list(&mut to, &self.marks, |to, mark| to.extend(mark.0.to_le_bytes()));
        list(&mut to, &self.outputs, |to, output| {
            to.extend(output.queue.0.to_le_bytes());
            text(to, &output.item);
        });
        to
    }

    /// The commit of this number; `None`: the bytes are no commit. Its outputs are parts of them.
    pub fn decode(number: u64, bytes: &Bytes) -> Option<Commit> {
        let mut from = Reader::of_commit(bytes)?;
        let ends = from.list(Reader::end)?;
        let step = match from.byte()? {
            0 => None,
            _ => Some(Step { from: from.text()?.to_vec(), to: from.text()?.to_vec() }),
        };
        let marks = from.list(Reader::queue)?;
        let outputs =
            from.list(|from| Some(Output { queue: from.queue()?, item: bytes.slice_ref(from.text()?) }))?;
        from.0.is_empty().then_some(Commit { number, ends, outputs, step, marks })
    }

    /// The leases that such bytes end: they come first, so that an output need not be read for them.
    pub fn decode_ends(bytes: &[u8]) -> Option<Vec<(SharedQueue, Sequence)>> {
        Reader::of_commit(bytes)?.list(Reader::ended)
    }
}

fn put_end(to: &mut Vec<u8>, end: &End) {
    to.extend(end.queue.0.to_le_bytes());
    to.extend(end.sequence.to_mark());
    to.push(u8::from(end.dead.is_some()));
    if let Some((cause, attempts)) = &end.dead {
        to.extend(attempts.to_le_bytes());
        text(to, cause.as_bytes());
    }
}

fn list<T>(to: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    to.extend((items.len() as u32).to_le_bytes());
    items.iter().for_each(|item| put(to, item));
}

fn text(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// What is left to read. Every read is `None` where too little is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn of_commit(bytes: &'a [u8]) -> Option<Reader<'a>> {
        let mut reader = Reader(bytes);
        (reader.byte()? == FORMAT).then_some(reader)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn queue(&mut self) -> Option<SharedQueue> {
        self.array().map(u16::from_le_bytes).map(SharedQueue)
    }

    fn sequence(&mut self) -> Option<Sequence> {
        Some(Sequence(self.u64()?, self.u64()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    /// Without the reason of a letter.
    fn ended(&mut self) -> Option<(SharedQueue, Sequence)> {
        let (queue, sequence) = (self.queue()?, self.sequence()?);
        if self.byte()? != 0 {
            self.u32()?;
            self.text()?;
        }
        Some((queue, sequence))
    }

    fn end(&mut self) -> Option<End> {
        let (queue, sequence) = (self.queue()?, self.sequence()?);
        let dead = match self.byte()? {
            0 => None,
            _ => {
                let attempts = self.u32()?;
                Some((self.string()?, attempts))
            }
        };
        Some(End { queue, sequence, dead })
    }

    /// A count that is not true ends with the bytes: it costs no memory before.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = self.u32()? as usize;
        // An item has no less than its queue's number.
        let mut items = Vec::with_capacity(n.min(self.0.len() / 2));
        for _ in 0..n {
            items.push(item(self)?);
        }
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit() -> Commit {
        let end = |n, dead| End { queue: SharedQueue(1), sequence: Sequence(0x0102, n), dead };
        Commit {
            number: 7,
            ends: vec![end(4, None), end(5, Some(("boom".into(), 2)))],
            outputs: vec![Output { queue: SharedQueue(2), item: Bytes::from_static(b"out") }],
            step: Some(Step { from: b"at".to_vec(), to: b"v".to_vec() }),
            marks: vec![SharedQueue(9)],
        }
    }

    /// What lies in an arena is read by the next version of mprun.
    #[test]
    fn the_bytes_are_those_of_the_golden_commit() {
        let golden: &[&[u8]] = &[
            &[2],
            // Two ends.
            &[2, 0, 0, 0],
            &[1, 0, 2, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 2, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 4, 0, 0, 0],
            b"boom",
            // A step, a mark, an output.
            &[1, 2, 0, 0, 0, b'a', b't', 1, 0, 0, 0, b'v'],
            &[1, 0, 0, 0, 9, 0],
            &[1, 0, 0, 0, 2, 0, 3, 0, 0, 0],
            b"out",
        ];
        assert_eq!(commit().encode(), golden.concat());
        assert_eq!(Commit::decode(7, &golden.concat().into()), Some(commit()));
        let mark = [2, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Sequence(0x0102, 4).to_mark(), mark);
        assert_eq!(
            Sequence::split_mark(&[&mark[..], b"item"].concat()),
            Some((Sequence(0x0102, 4), &b"item"[..]))
        );
        assert_eq!(Sequence::split_mark(&mark[1..]), None);
    }

    #[test]
    fn a_part_of_the_bytes_is_no_commit_nor_is_more_than_all() {
        let bytes = commit().encode();
        (0..bytes.len())
            .for_each(|n| assert_eq!(Commit::decode(7, &bytes[..n].to_vec().into()), None, "{n} bytes"));
        assert_eq!(Commit::decode(7, &[&bytes[..], b"x"].concat().into()), None);
        assert_eq!(Commit::decode(7, &[&[1], &bytes[1..]].concat().into()), None, "another format");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_written_is_read(
            number in 1_u64..,
            ends in proptest::collection::vec((0_u16.., any::<(u64, u64)>(), any::<Option<(String, u32)>>()), 0..4),
            outputs in proptest::collection::vec((0_u16.., any::<Vec<u8>>()), 0..4),
            step in any::<Option<(Vec<u8>, Vec<u8>)>>(),
            marks in proptest::collection::vec(0_u16.., 0..3),
        ) {
            let end = |(queue, (major, minor), dead)| End {
                queue: SharedQueue(queue),
                sequence: Sequence(major, minor),
                dead,
            };
            let commit = Commit {
                number,
                ends: ends.into_iter().map(end).collect(),
                outputs: outputs.into_iter().map(|(queue, item)| Output { queue: SharedQueue(queue), item: item.into() }).collect(),
                step: step.map(|(from, to)| Step { from, to }),
                marks: marks.into_iter().map(SharedQueue).collect(),
            };
            let ends: Vec<_> = commit.ends.iter().map(|end| (end.queue, end.sequence)).collect();
            prop_assert_eq!(Commit::decode_ends(&commit.encode()), Some(ends));
            prop_assert_eq!(Commit::decode(number, &commit.encode().into()), Some(commit));
        }

        #[test]
        fn no_bytes_do_harm(mut bytes in any::<Vec<u8>>()) {
            Commit::decode(1, &bytes.clone().into());
            bytes.insert(0, FORMAT);
            Commit::decode_ends(&bytes);
            Commit::decode(1, &bytes.into());
        }
    }
}
