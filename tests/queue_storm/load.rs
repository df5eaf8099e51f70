//! What the storm's workers do: numbered items through two queues, and a sum at the end that must be exact.
//!
//! `token -> producers -> A -> movers -> B -> sinks -> one token each`. The producers' position and the sinks' sums
//! are items themselves, changed in the same commit as what they count: so they are exactly once, whoever dies.

use mprun::queue::{Committed, Order, QueueId, Taken, Wait, WorkerHandle};
use std::time::{Duration, Instant};

pub const POSITION: QueueId = QueueId(0);
pub const A: QueueId = QueueId(1);
pub const B: QueueId = QueueId(2);
/// Queues `SUMS + n`: the token of sink n.
pub const SUMS: u16 = 3;
pub const SINKS: u16 = 2;

#[derive(Clone, Copy, Debug)]
pub enum Role {
    Producer,
    Mover,
    Sink(u16),
}

/// What the sinks have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub empty: u64,
    pub count: u64,
    pub sum: u64,
    pub xor: u64,
}

impl Sum {
    /// What must have come out when so many items went in.
    pub fn of(items: u64) -> Sum {
        let mut all = Sum::default();
        for i in 0..items {
            (0..copies(i)).for_each(|copy| all.add(&output(i, copy)));
        }
        all
    }

    fn add(&mut self, item: &[u8]) {
        let Some(number) = number(item) else {
            self.empty += 1;
            return;
        };
        self.count += 1;
        self.sum = self.sum.wrapping_add(number);
        self.xor ^= number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub fn plus(self, other: Sum) -> Sum {
        Sum {
            empty: self.empty + other.empty,
            count: self.count + other.count,
            sum: self.sum.wrapping_add(other.sum),
            xor: self.xor ^ other.xor,
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Sum {
        let word =
            |i: usize| bytes.get(i * 8..i * 8 + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()));
        Sum { empty: word(0), count: word(1), sum: word(2), xor: word(3) }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.empty, self.count, self.sum, self.xor].iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

fn scramble(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Item `i`: empty, or its number and a pattern, 8 bytes to 200 KB.
fn payload(i: u64) -> Vec<u8> {
    let dice = scramble(i);
    let len = match dice % 100 {
        0..6 => return Vec::new(),
        6..40 => 8,
        40..75 => 9 + dice / 100 % 120,
        75..95 => 128 + dice / 100 % 4000,
        95..99 => 4096 + dice / 100 % 30_000,
        _ => 50_000 + dice / 100 % 150_000,
    };
    let mut bytes = i.to_le_bytes().to_vec();
    bytes.extend((8..len).map(|k| (dice >> (k % 8)) as u8));
    bytes
}

/// How many outputs a mover makes of item `i`, and which.
fn copies(i: u64) -> u64 {
    if i.is_multiple_of(5) && !payload(i).is_empty() { 3 } else { 1 }
}

fn output(i: u64, copy: u64) -> Vec<u8> {
    if copy == 0 { payload(i) } else { Vec::new() }
}

/// The number of an item, whose every byte is checked.
fn number(item: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(item.get(..8)?.try_into().ok()?);
    assert!(item == payload(number), "item {number} is not what was put");
    Some(number)
}

/// Works until the end; true if it is the end, false if it was ordered to stop.
pub fn work(worker: &mut WorkerHandle, role: Role) {
    worker.order();
    while worker.order() == Order::Run {
        let goes_on = match role {
            Role::Producer => produce(worker),
            Role::Mover => carry(worker),
            Role::Sink(n) => sum_up(worker, QueueId(SUMS + n)),
        };
        if !goes_on {
            break;
        }
    }
    worker.give_back_all().unwrap();
}

fn commit(worker: &mut WorkerHandle, upto: usize) -> bool {
    match worker.commit(upto, Wait::Forever).unwrap() {
        Committed::Done { .. } => true,
        Committed::Ordered => false,
        other => panic!("{other:?}"),
    }
}

fn produce(worker: &mut WorkerHandle) -> bool {
    if !matches!(worker.take(&[POSITION], 1, Wait::Forever).unwrap(), Taken::Items { .. }) {
        return true;
    }
    worker.begin(0);
    let (position, mark) = {
        let lease = worker.item(0).unwrap();
        (u64::from_le_bytes(lease.bytes.try_into().unwrap()), lease.mark)
    };
    let n = 1 + position % 13;
    for i in mark..n {
        if worker.put(&[A], &payload(position + i), Some(0)).is_err() {
            return false;
        }
    }
    worker.put(&[POSITION], &(position + n).to_le_bytes(), Some(0)).unwrap();
    commit(worker, 1)
}

fn carry(worker: &mut WorkerHandle) -> bool {
    let max = 1 + std::process::id() as usize % 16;
    match worker.take(&[A], max, Wait::Forever).unwrap() {
        Taken::Items { .. } => {}
        Taken::Ended => return false,
        Taken::Empty | Taken::Ordered => return true,
    }
    for i in 0..worker.len() {
        worker.begin(i);
        let lease = worker.item(i).unwrap();
        let (item, mark) = (number(lease.bytes), lease.mark);
        for copy in mark..item.map_or(1, copies) {
            let bytes = item.map_or(Vec::new(), |item| output(item, copy));
            if worker.put(&[B], &bytes, Some(i)).is_err() {
                return false;
            }
        }
    }
    commit(worker, worker.len())
}

fn sum_up(worker: &mut WorkerHandle, token: QueueId) -> bool {
    if worker.is_empty() && !matches!(worker.take(&[token], 1, Wait::Forever).unwrap(), Taken::Items { .. }) {
        return true;
    }
    let soon = Wait::Until(Instant::now() + Duration::from_secs(5));
    match worker.take(&[B], 20, soon).unwrap() {
        Taken::Items { .. } => {}
        Taken::Ended => return false,
        Taken::Empty | Taken::Ordered => return true,
    }
    let mut sum = Sum::from_bytes(worker.item(0).unwrap().bytes);
    for i in 1..worker.len() {
        sum.add(worker.item(i).unwrap().bytes);
    }
    worker.put(&[token], &sum.to_bytes(), Some(0)).unwrap();
    commit(worker, worker.len())
}
