//! The key of items that go together: `BIRTH/QUEUE/NUMBERS`, as in `3f0a…/lines/7` or `3f0a…/lines/7-16,19`.
//!
//! The birth (16 hexadecimal digits) stands for the run that the queue's memory began with; it and the numbers stay as long as that memory,
//! whoever is killed. Numbers that follow each other are written as their first and last.

use crate::queue::{Fault, Origin, WorkerHandle};
use crate::worker::spec::WorkerSpec;
use std::fmt::Write;

/// A header is no longer, as servers allow for 8 KiB and more of all of them.
const LONGEST: usize = 2048;

/// Characters of a range that is not written yet, and of another one behind it.
const MOST_PENDING: usize = 2 * (20 + 1 + 20 + 1);

/// The key of the first leases, of up to `most`, and how many they are: all are of one queue, and their key is no longer than
/// [`LONGEST`].
pub(super) fn of(queues: &WorkerHandle, most: usize, spec: &WorkerSpec) -> Result<(String, usize), Fault> {
    let (first, queue) = (queues.origin(0)?, queues.item(0)?.queue);
    let name = spec.inputs.iter().find(|(id, _)| *id == queue.0).map_or("", |(_, name)| name);
    let mut key = format!("{:016x}/{name}/", first.birth);
    let mut numbers = Numbers::default();
    for i in 0..most {
        let Origin { birth, number } = queues.origin(i)?;
        let is_alike = birth == first.birth && queues.item(i)?.queue == queue;
        if i > 0 && (!is_alike || key.len() + MOST_PENDING > LONGEST) {
            numbers.write(&mut key);
            return Ok((key, i));
        }
        numbers.add(number, &mut key);
    }
    numbers.write(&mut key);
    Ok((key, most))
}

/// Numbers that follow each other, which are not written yet.
#[derive(Default)]
struct Numbers {
    range: Option<(u64, u64)>,
}

impl Numbers {
    fn add(&mut self, number: u64, to: &mut String) {
        match &mut self.range {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) => {
                self.write(to);
                to.push(',');
                self.range = Some((number, number));
            }
            None => self.range = Some((number, number)),
        }
    }

    fn write(&mut self, to: &mut String) {
        let written = match self.range.take() {
            None => Ok(()),
            Some((first, last)) if first == last => write!(to, "{first}"),
            Some((first, last)) => write!(to, "{first}-{last}"),
        };
        debug_assert!(written.is_ok(), "a text can always be written to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        for (numbers, text) in [
            (&[7][..], "7"),
            (&[7, 8, 9], "7-9"),
            (&[9, 8], "9,8"),
            (&[0, 2, 3, 5, u64::MAX], "0,2-3,5,18446744073709551615"),
        ] {
            let (mut key, mut range) = (String::new(), Numbers::default());
            numbers.iter().for_each(|&number| range.add(number, &mut key));
            range.write(&mut key);
            assert_eq!(key, text);
        }
    }
}
