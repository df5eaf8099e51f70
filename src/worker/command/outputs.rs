//! Outputs of a program, kept back until it is clear that they count.
//!
//! As bytes: each output's length (four bytes, the lowest first), then the output. In this form they also wait in the
//! stage's outbox when the output queues have no room for all of them at once.

/// Outputs in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    bytes: Vec<u8>,
    count: usize,
}

impl Outputs {
    pub fn push(&mut self, item: &[u8]) {
        // No item is longer than a queue takes, which is far below 4 GiB.
        let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(item);
        self.count += 1;
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        // One large answer must not cost memory for ever.
        self.bytes.shrink_to(1 << 20);
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Bytes that they take.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, left: self.count }
    }
}

/// The outputs in such bytes.
pub(super) fn read(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Iter { bytes, left: usize::MAX };
    // Without a size hint: how many there are stands nowhere.
    std::iter::from_fn(move || rest.next())
}

/// See [`Outputs::iter`].
pub(super) struct Iter<'a> {
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
        assert_eq!(outputs.iter().collect::<Vec<_>>(), items);
        assert_eq!(outputs.iter().len(), 4);
        assert_eq!(read(outputs.bytes()).collect::<Vec<_>>(), items);
        outputs.clear();
        assert_eq!((outputs.len(), outputs.iter().next()), (0, None));
    }
}
