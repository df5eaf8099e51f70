//! A worker gone mad: bytes that say which words of an arena to overwrite, and with what, while everybody works on.
//! Whatever is written, each call must answer or return a fault: no panic, no endless loop, no access out of bounds.
//! Shared by the test and the fuzz target.

use mprun::queue::{
    Arena, FailureAttribution, Limits, Order, QueueAdmin, QueueId, SlotId, Tuning, Wait, WhenFull,
    WorkerHandle,
};
use std::fs::File;
use std::os::unix::fs::FileExt;

// The places of format version 7. If they move, this abuses less, so `writes_reach_the_queues` fails.
const DECIDED: u64 = 128;
const JOURNAL: u64 = 4096;
const CLASSES: u64 = JOURNAL + 16384;
const QUEUES: u64 = CLASSES + 4096;
const STAGES: u64 = QUEUES + 4096 * (512 + 512);
const SLOTS: u64 = STAGES + 4096 * 256;
const TABLE_SIZE: u64 = 1024 * 64;
const SLOT_SIZE: u64 = 4096 + TABLE_SIZE + 16384;
const RINGS: u64 = SLOTS + 4096 * SLOT_SIZE;
const RETURNED: u64 = RINGS + (4096 << 30);
const DELAYED: u64 = RETURNED + (4096 << 28);
const DUE: u64 = DELAYED + (64 << 20);
const STACKS: u64 = DELAYED + 4096 * (72 << 20);
const HEAP: u64 = (STACKS + 50 * (8 << 30)).next_multiple_of(1 << 30);

const INPUTS: [QueueId; 2] = [QueueId(0), QueueId(1)];

/// Where word `n` of an area is.
fn place(area: u8, n: u64) -> u64 {
    match area % 8 {
        0 if n.is_multiple_of(3) => DECIDED,
        0 if n.is_multiple_of(2) => JOURNAL + n / 6 % 40 * 8,
        0 => SLOTS + n % 2 * SLOT_SIZE + 4096 + TABLE_SIZE + n / 6 % 40 * 8,
        1 | 2 => QUEUES + n % 3 * 512 + n / 3 % 53 * 8,
        3 => CLASSES + n % 200 * 8,
        4 => SLOTS + n % 3 * SLOT_SIZE + n / 3 % 60 * 8,
        5 => SLOTS + n % 3 * SLOT_SIZE + 4096 + n / 3 % 32 * 8,
        6 => RINGS + n % 2 * (1 << 30) + 1024 + n / 2 % 64 * 8,
        _ if n.is_multiple_of(2) => RETURNED + n / 2 % 16 * 8,
        _ => match n / 2 % 4 {
            0 => STACKS + n / 8 % 8 * 8,
            1 => DELAYED + n / 8 % 16 * 8,
            2 => DUE + n / 8 % 4 * 8,
            // The heads of the first extents, and the ends of their items.
            _ => HEAP + ((n / 8 % 5 + 2) << 36) + n / 40 % 32 * 8,
        },
    }
}

/// A value that is wrong on purpose.
fn value(kind: u8, raw: u64) -> u64 {
    match kind % 7 {
        0 => raw,
        1 => raw % 70,
        2 => u64::MAX - raw % 70,
        3 => 1 << (raw % 64),
        4 => QUEUES + raw % 4096 * 8,
        5 => [JOURNAL, SLOTS + 4096 + TABLE_SIZE][raw as usize % 2] + raw % 400,
        // A descriptor of one item, a span or a reserved block.
        _ => {
            (raw % 3) << 51
                | (raw >> 40 & 7) << 15
                | raw >> 32 & 0x1ff
                | (raw >> 1 & 1) << 30
                | (raw & 1) << 63
        }
    }
}

struct Scene {
    file: File,
    admin: QueueAdmin,
    workers: Vec<WorkerHandle>,
}

fn set_up() -> Scene {
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    for (q, when_full) in [WhenFull::Block, WhenFull::DropOld, WhenFull::DropNew].into_iter().enumerate() {
        let limits = Limits { capacity: 8, max_bytes: 1 << 16, max_item: 1 << 12, when_full };
        admin.set_queue(QueueId(q as u16), &limits).unwrap();
    }
    let mut workers = Vec::new();
    for slot in 0..2 {
        admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
        // A worker that is ordered to finish never waits for room for ever.
        admin.order(SlotId(slot), Order::Finish).unwrap();
        workers.push(WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap());
    }
    let file = File::from(arena.fd().try_clone_to_owned().unwrap());
    Scene { file, admin, workers }
}

impl Scene {
    fn work(&mut self, what: u8) {
        let worker = &mut self.workers[usize::from(what & 1)];
        let outputs = &INPUTS[..1 + usize::from(what >> 1 & 1)];
        match what >> 2 & 7 {
            0 => _ = worker.put(outputs, &[7; 8], None),
            1 => _ = worker.put(outputs, &[7; 300], (!worker.is_empty()).then_some(0)),
            2 => _ = worker.commit(1, Wait::No),
            3 => _ = worker.take(&INPUTS, 3, Wait::No),
            4 if !worker.is_empty() => _ = worker.give_back(0, true),
            5 if !worker.is_empty() => _ = worker.dead_letter(0),
            6 => _ = (worker.settle(), worker.tuning(), worker.waiting(INPUTS[0])),
            _ => _ = worker.discard_staged(),
        }
        for i in 0..worker.len() {
            // Only read: the bytes themselves may be anything.
            _ = worker.item(i).map(|lease| lease.bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
        }
    }

    fn govern(&mut self, what: u8) {
        let (q, slot) = (QueueId(u16::from(what >> 4 & 3)), SlotId(u16::from(what & 1)));
        let limits =
            Limits { capacity: 5, max_bytes: 1 << 16, max_item: 1 << 12, when_full: WhenFull::Block };
        match what & 15 {
            0 => _ = self.admin.counts(q),
            1 => _ = self.admin.set_queue(q, &limits),
            2 => _ = self.admin.seed(q, b"token"),
            3 => _ = self.admin.set_ended(q, true),
            4 => _ = self.admin.remove_queue(q),
            5 => _ = self.admin.audit(),
            6 => _ = self.admin.set_stopped(usize::from(what >> 4 & 1)),
            7 => _ = self.admin.report(slot),
            _ => _ = self.admin.release(slot, FailureAttribution::Begun, 3, &mut |_| Ok(())),
        }
    }
}

/// Reads the bytes as a list of operations, 11 bytes each.
pub fn abuse(bytes: &[u8]) {
    let mut scene = set_up();
    for operation in bytes.chunks_exact(11).take(200) {
        let number = u64::from(u16::from_le_bytes([operation[1], operation[2]]));
        let raw = u64::from_le_bytes([
            operation[3],
            operation[4],
            operation[5],
            operation[6],
            operation[7],
            operation[8],
            operation[9],
            operation[10],
        ]);
        match operation[0] >> 6 {
            0 => {
                let word = value(operation[0] >> 3, raw).to_le_bytes();
                scene.file.write_all_at(&word, place(operation[0], number)).unwrap();
            }
            1 | 2 => scene.work(operation[1]),
            _ => scene.govern(operation[1]),
        }
    }
    // At last everybody does everything once.
    (0..64).for_each(|what| scene.work(what));
    (0..64).for_each(|what| scene.govern(what));
}

/// What a scribble does to the count of a queue: none if the places above are out of date.
#[allow(dead_code, reason = "the fuzz target takes this file in, too, and has no use for it")]
pub fn scribble_on_tail() -> u64 {
    let mut scene = set_up();
    scene.file.write_all_at(&5u64.to_le_bytes(), place(1, 0)).unwrap();
    scene.admin.counts(QueueId(0)).unwrap().put
}
