//! Outputs of a program, kept back until it is clear that they count.
//!
//! As bytes: each output's length (four bytes, the lowest first), then the output. In this form they also wait in the
//! stage's spill queue when the output queues have no room for all of them at once.

use std::ops::Range;

/// Outputs in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs {
    bytes: Vec<u8>,
    count: usize,
}

/// Some outputs that follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputSlice<'a> {
    pub bytes: &'a [u8],
    pub count: usize,
}

impl Outputs {
    pub(crate) fn push(&mut self, item: &[u8]) {
        // No item is longer than a queue takes, which is far below 4 GiB.
        let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(item);
        self.count += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        // One large answer must not cost memory for ever.
        self.bytes.shrink_to(1 << 20);
    }

    /// Bytes that they take.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of the outputs themselves.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() - 4 * self.count
    }

    /// Keeps the first `count`, which take `size` bytes.
    pub(crate) fn truncate(&mut self, size: usize, count: usize) {
        self.bytes.truncate(size);
        self.count = count;
    }

    /// Drops the first `count`, which take `size` bytes.
    pub(crate) fn drop_front(&mut self, size: usize, count: usize) {
        if size == self.bytes.len() {
            return self.clear();
        }
        self.bytes.drain(..size);
        self.count -= count;
    }

    pub(crate) fn all(&self) -> OutputSlice<'_> {
        OutputSlice { bytes: &self.bytes, count: self.count }
    }

    /// Those in this range of bytes, of which there are `count`.
    pub(crate) fn part(&self, bytes: Range<usize>, count: usize) -> OutputSlice<'_> {
        OutputSlice { bytes: &self.bytes[bytes], count }
    }
}

impl<'a> OutputSlice<'a> {
    pub(crate) fn iter(&self) -> Iter<'a> {
        Iter { bytes: self.bytes, left: self.count }
    }
}

/// The outputs in such bytes.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Iter { bytes, left: usize::MAX };
    // Without a size hint: how many there are stands nowhere.
    std::iter::from_fn(move || rest.next())
}

/// See [`OutputSlice::iter`].
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_first_chunk::<4>()?;
        let (item, rest) = rest.split_at_checked(u32::from_le_bytes(*head) as usize)?;
        self.bytes = rest;
        self.left -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_back_as_they_were() {
        let mut outputs = Outputs::default();
        let items: [&[u8]; 4] = [b"", b"one", &[0; 1000], b"\n"];
        items.iter().for_each(|item| outputs.push(item));
        assert_eq!(outputs.all().iter().collect::<Vec<_>>(), items);
        assert_eq!(outputs.all().iter().len(), 4);
        assert_eq!(read(outputs.all().bytes).collect::<Vec<_>>(), items);
        outputs.clear();
        assert_eq!((outputs.all().count, outputs.all().iter().next()), (0, None));
    }

    #[test]
    fn some_of_them_can_be_taken_from_either_end() {
        let mut outputs = Outputs::default();
        outputs.push(b"one");
        let first = outputs.size();
        outputs.push(b"two");
        let second = outputs.size();
        outputs.push(b"three");
        assert_eq!(outputs.part(first..second, 1).iter().collect::<Vec<_>>(), [b"two"]);
        outputs.truncate(second, 2);
        outputs.drop_front(first, 1);
        assert_eq!(outputs.all().iter().collect::<Vec<_>>(), [b"two"]);
        outputs.drop_front(second - first, 1);
        assert_eq!((outputs.size(), outputs.all().count), (0, 0));
    }
}
