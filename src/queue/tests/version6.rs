//! A file of version 6 becomes one of this version, with all that was in it, or is not touched.

use super::recovery::Folder;
use super::*;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[path = "../../../tests/support/version6.rs"]
mod file;

const WAITING: &str = include_str!("../../../tests/fixtures/version6/waiting.txt");
const BEGUN: &str = include_str!("../../../tests/fixtures/version6/begun.txt");
const RETURNED: &str = include_str!("../../../tests/fixtures/version6/returned.txt");
const MARKED: &str = include_str!("../../../tests/fixtures/version6/marked.txt");
const COUNTERS: &str = include_str!("../../../tests/fixtures/version6/counters.txt");
const SUM: &str = include_str!("../../../tests/fixtures/version6/sum.txt");

/// Where version 6 had the words of queue `q`.
const fn queue6(q: u64) -> u64 {
    16384 + q * 512
}
const TAIL: u64 = 0;
const BYTES: u64 = 32;
const FLAGS: u64 = 288;
const DECIDED: u64 = 128;
/// The slot of the first worker, its bitmap, table and journal.
const SLOT: u64 = 0x45000;
const TABLE: u64 = SLOT + 4096;
const JOURNAL: u64 = TABLE + 1024 * 32;

fn owner() -> Identity {
    Identity { pipeline: "six".into(), file: String::new() }
}

fn opened(path: &Path) -> Result<Opened, Fault> {
    Arena::open_file(path, &owner(), Duration::ZERO, &mut |_| true)
}

/// One queue after the migration: its ledger, and its items in the order in which they are served, with attempt and mark.
struct Found {
    queue: LabelledQueue,
    items: Vec<(Vec<u8>, u32, u64)>,
}

/// All queues in the file, which must be taken over.
fn migrated(listed: &str, edits: &[(u64, u64)]) -> (Vec<Found>, Arena, QueueAdmin) {
    let folder = Folder::new(&format!("six-{:?}", std::thread::current().id()));
    file::write(listed, &folder.arena(), edits);
    let Opened { arena, kept, migrated_from, replaced, .. } = opened(&folder.arena()).unwrap();
    assert!(replaced.is_none(), "{replaced:?}");
    assert_eq!((kept, migrated_from), (true, Some(6)));
    assert_eq!(arena.identity().unwrap(), owner());
    assert_ne!(arena.user().run, 0, "what is left of its run can be found");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    let all = admin.recover().unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    let found = all.into_iter().map(|queue| {
        let n = queue.counts.waiting as usize;
        worker.take(&[queue.queue], n.max(1), Wait::No).unwrap();
        let items = (0..worker.len()).map(|i| worker.item(i).unwrap());
        let items = items.map(|item| (item.bytes.to_vec(), item.attempt, item.mark)).collect();
        worker.commit(worker.len(), Wait::No).unwrap();
        Found { queue, items }
    });
    let found = found.collect();
    admin.audit().unwrap();
    (found, arena, admin)
}

fn named<'a>(found: &'a [Found], label: &str) -> &'a Found {
    found.iter().find(|found| found.queue.label == label).unwrap()
}

fn texts(found: &Found) -> Vec<String> {
    found.items.iter().map(|(bytes, ..)| String::from_utf8_lossy(bytes).into_owned()).collect()
}

fn labels(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.queue.label.as_str()).collect()
}

/// Put, waiting, done, dropped, dead.
fn ledger(found: &Found) -> [u64; 5] {
    let counts = found.queue.counts;
    assert_eq!(counts.leased, 0);
    [counts.put, counts.waiting, counts.done, counts.dropped, counts.dead]
}

/// The items of `waiting.txt`, of all sizes of blocks and of none.
fn lines() -> Vec<String> {
    let long = [('x', 60), ('y', 64), ('z', 65), ('a', 200), ('b', 1000), ('c', 5000), ('d', 70_000)];
    let long = long.map(|(letter, n)| letter.to_string().repeat(n));
    let short = ["four4", "eight888", "nine99999"].map(str::to_owned);
    short.into_iter().chain(long).chain(["last".to_owned()]).collect()
}

fn assert_lines(found: &[Found]) {
    assert_eq!(labels(found), ["queue lines", "queue out", "token read lines"]);
    assert_eq!(texts(&found[0]), lines());
    assert!(found[0].items.iter().all(|&(_, attempt, mark)| (attempt, mark) == (1, 0)));
    assert_eq!(ledger(&found[0]), [12, 11, 1, 0, 0]);
    assert_eq!(ledger(&found[1]), [1, 0, 1, 0, 0]);
    assert_eq!((ledger(&found[2]), found[2].items.len()), ([12, 1, 11, 0, 0], 1));
    assert_eq!(found.iter().map(|found| found.queue.ended).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn waiting_items_tokens_labels_and_the_end_of_an_input_are_kept() {
    let (found, arena, _admin) = migrated(WAITING, &[]);
    assert_lines(&found);
    let limits = |q: u16| {
        let queue = QueueAt::of(QueueId(q)).unwrap();
        [queue::CAPACITY, queue::MAX_BYTES, queue::MAX_ITEM].map(|word| arena.0.load(queue + word))
    };
    assert_eq!(limits(0), [100, 64 << 20, 16 << 20]);
    assert_eq!(limits(1), [1024, 64 << 20, 1 << 20]);
}

#[test]
fn leased_items_go_back_and_one_that_was_begun_counts_an_attempt_more() {
    let (found, ..) = migrated(BEGUN, &[]);
    let items = named(&found, "queue a");
    assert_eq!(texts(items), (1..=40).map(|n| format!("number {n}")).collect::<Vec<_>>());
    assert_eq!(ledger(items), [40, 40, 0, 0, 0]);
    let again: Vec<usize> = (0..40).filter(|&i| items.items[i].1 == 2).collect();
    assert_eq!(again, [0], "of the batch of four nobody knows which was begun");
    assert_eq!(ledger(named(&found, "token number count"))[1], 1);
}

#[test]
fn returned_items_keep_their_failures_and_the_outputs_that_are_published() {
    let (found, ..) = migrated(RETURNED, &[]);
    let items = named(&found, "queue a");
    assert_eq!(texts(items), (1..=6).map(|n| format!("item {n}")).collect::<Vec<_>>());
    assert_eq!(items.items.iter().map(|item| item.1).collect::<Vec<_>>(), [3, 1, 1, 1, 1, 1]);
    let lines = named(&found, "queue texts");
    assert!(lines.items[0].0.starts_with(b"alpha beta"), "{:?}", texts(lines));
    assert_eq!(lines.items.iter().map(|item| (item.1, item.2)).collect::<Vec<_>>(), [(1, 3), (1, 0)]);
    assert_eq!(texts(named(&found, "queue b")), ["beta", "gamma"]);
}

#[test]
fn a_lease_keeps_the_outputs_that_are_published() {
    let (found, ..) = migrated(MARKED, &[]);
    let lines = named(&found, "queue texts");
    assert_eq!(texts(lines)[1], "second line here");
    assert_eq!(lines.items.iter().map(|item| (item.1, item.2)).collect::<Vec<_>>(), [(1, 3), (1, 0)]);
    assert_eq!(texts(named(&found, "queue b")), ["beta", "gamma"]);
}

#[test]
fn every_counter_is_kept_and_the_letter_that_was_put_back_last() {
    let (found, arena, mut admin) = migrated(COUNTERS, &[(queue6(2) + FLAGS, 7)]);
    assert_eq!(ledger(named(&found, "queue a")), [20, 2, 2, 16, 0]);
    assert_eq!(ledger(named(&found, "queue b")), [20, 1, 2, 17, 0]);
    assert_eq!(ledger(named(&found, "queue c")), [3, 0, 0, 0, 3]);
    let c = named(&found, "queue c").queue.queue;
    assert_eq!(admin.put_back(c, b"bad", 467681881624559272, None).unwrap(), PutBack::Already);
    let gone = named(&found, "queue gone");
    assert_eq!((texts(gone).len(), ledger(gone)), (19, [20, 19, 1, 0, 0]));
    assert!(gone.queue.ended && gone.queue.closed);
    let full =
        |q: u16| WhenFull::from_word(arena.0.load(QueueAt::of(QueueId(q)).unwrap() + queue::WHEN_FULL));
    assert_eq!([0, 1, 3].map(full), [WhenFull::DropOld, WhenFull::DropNew, WhenFull::Block]);
}

#[test]
fn an_interrupted_transaction_is_finished() {
    let undone = [(queue6(0) + TAIL, 10), (queue6(0) + FLAGS, 1), (queue6(0) + BYTES, 140_864 - 131_072)];
    let decided = [(queue6(0) + TAIL, 12), (queue6(0) + FLAGS, 3), (queue6(0) + BYTES, 140_864)];
    for journal in [4096, JOURNAL] {
        let pairs = (0..).zip(decided).flat_map(|(i, (at, value))| {
            let pair = journal + i * 16;
            [(pair, at), (pair + 8, value)]
        });
        let edits: Vec<(u64, u64)> =
            undone.into_iter().chain(pairs).chain([(DECIDED, journal | 3)]).collect();
        assert_lines(&migrated(WAITING, &edits).0);
    }
    // Not decided: it has not happened.
    let (found, ..) = migrated(WAITING, &undone);
    assert_eq!(texts(&found[0]), lines()[..9]);
    assert!(!found[0].queue.ended);
}

#[test]
fn positions_and_sums_in_the_hands_of_a_killed_worker_are_kept() {
    let (found, ..) = migrated(SUM, &[]);
    let ledgers: Vec<_> = found.iter().map(|found| (found.queue.label.as_str(), ledger(found))).collect();
    let want = [
        ("queue a", [132, 20, 112, 0, 0]),
        ("queue b", [112, 0, 112, 0, 0]),
        ("token number count", [8, 1, 7, 0, 0]),
        ("token total sum", [112, 1, 111, 0, 0]),
    ];
    assert_eq!(ledgers, want);
    assert_eq!(texts(&found[0]), (113..=132).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// The items lie at both ends of their ring.
#[test]
fn a_ring_that_wraps_is_read_from_its_oldest_item() {
    let ring = SLOT + 4096 * 0xb000 + (16 << 6);
    let slots = (113..=132_u64).flat_map(|n| {
        let mut data = [0; 8];
        data[..3].copy_from_slice(n.to_string().as_bytes());
        let slot = ring + ((n - 1) & 63) * 16;
        [(slot, u64::from_le_bytes(data)), (slot + 8, 3)]
    });
    let edits: Vec<(u64, u64)> = slots.chain([(queue6(0) + 40, 6)]).collect();
    let (found, ..) = migrated(SUM, &edits);
    assert_eq!(texts(&found[0]), (113..=132).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// A migration that was killed leaves the old file, and of the new one any part under another name.
#[test]
fn a_migration_that_was_killed_is_done_again() {
    let folder = Folder::new("six-killed");
    file::write(WAITING, &folder.arena(), &[]);
    fs::write(folder.0.join("queues.new"), [7; 5000]).unwrap();
    assert_eq!(opened(&folder.arena()).unwrap().migrated_from, Some(6));
    let again = opened(&folder.arena()).unwrap();
    assert_eq!((again.kept, again.migrated_from), (true, None), "once is enough");
    let found = QueueAdmin::open(again.arena).unwrap().recover().unwrap();
    assert_eq!(found[0].counts.waiting, 11);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn of_other_versions_and_of_other_pipelines_nothing_is_touched() {
    let folder = Folder::new("six-others");
    for version in [5, 8] {
        file::write(WAITING, &folder.arena(), &[(8, version)]);
        let before = fs::metadata(folder.arena()).unwrap().modified().unwrap();
        let refused = opened(&folder.arena()).err();
        assert!(matches!(refused, Some(Fault::Version { have, .. }) if have == version), "{refused:?}");
        assert_eq!(fs::metadata(folder.arena()).unwrap().modified().unwrap(), before);
    }
    file::write(WAITING, &folder.arena(), &[]);
    let other = Identity { pipeline: "seven".into(), ..owner() };
    let refused = Arena::open_file(&folder.arena(), &other, Duration::ZERO, &mut |_| true).err();
    assert!(matches!(refused, Some(Fault::OtherPipeline(name)) if name == "six"));
    assert_eq!(opened(&folder.arena()).unwrap().migrated_from, Some(6));
}

/// What the checks find before anything is made of it.
#[test]
fn what_does_not_add_up_is_not_migrated() {
    let block = TABLE + 3 * 32; // free in every fixture: its bit is clear
    let damages: [(&str, &[(u64, u64)]); 11] = [
        ("header word 2", &[(16, 1)]),
        ("checksum", &[(344, 1)]),
        ("the machine went down", &[(file::BOOT, 1)]),
        ("the commit word", &[(DECIDED, 8192 | 3)]),
        ("an offset in the journal", &[(DECIDED, 4096 | 1), (4096, 64)]),
        ("does not add up", &[(queue6(0) + TAIL, 1 << 30)]),
        ("does not add up", &[(queue6(0) + 16, 1 << 40)]),
        ("items are leased, workers hold 0", &[(queue6(0) + 24, 0)]),
        ("bytes are charged", &[(queue6(0) + BYTES, 64)]),
        ("holds an item of queue 0", &[(queue6(1) + TAIL, 2), (queue6(1) + 40, 6)]),
        ("a worker holds an item of queue", &[(SLOT + 128, 8), (block, 7), (block + 8, 1 | 300 << 52)]),
    ];
    for (want, edits) in damages {
        let folder = Folder::new("six-damaged");
        file::write(WAITING, &folder.arena(), edits);
        let why = match opened(&folder.arena()) {
            // Of a file that a power cut has torn no more was to survive.
            Ok(Opened { kept: false, migrated_from: None, replaced: Some(replaced), .. }) => replaced.why,
            Ok(_) => panic!("{want}: taken over"),
            Err(fault) => fault,
        };
        assert!(
            matches!(why, Fault::Unusable(_) | Fault::Torn) && why.to_string().contains(want),
            "{want}: {why}"
        );
    }
}

/// A power cut: the file can't be trusted, and the saved copy, which has no version, takes its place.
#[test]
fn after_a_power_cut_the_saved_copy_takes_the_place_of_the_file() {
    let folder = Folder::new("six-torn");
    let Opened { arena, .. } =
        Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true).unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.set_label(A, "queue a").unwrap();
    admin.set_queue(A, &limits(10)).unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    put(&mut worker, A, &[b"saved"]);
    admin.save(&folder.arena()).unwrap();
    drop((worker, admin, arena));
    file::write(WAITING, &folder.arena(), &[(file::BOOT, 1)]);
    let Opened { arena, replaced, .. } = opened(&folder.arena()).unwrap();
    assert!(matches!(replaced, Some(Replaced { saved: Some(_), why: Fault::Torn, .. })));
    let mut admin = QueueAdmin::open(arena).unwrap();
    admin.recover().unwrap();
    assert_eq!(admin.first(A).unwrap().as_deref(), Some(&b"saved"[..]));
}
