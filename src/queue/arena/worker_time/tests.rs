use super::super::item_times::{self, ITEM_TIME_BOUNDS, ItemTimes};
use super::*;
use crate::queue::{QueueAdmin, Tuning};
use std::thread::sleep;

fn fresh() -> (Arena, QueueAdmin, SlotAt) {
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.open_slot(SlotId(0), &Tuning::default()).unwrap();
    (arena, admin, SlotAt::of(SlotId(0)).unwrap())
}

const PIECE: Duration = Duration::from_millis(30);

#[test]
fn a_look_in_the_middle_of_a_long_wait_sees_it_and_the_work_before() {
    let (arena, admin, slot) = fresh();
    let memory = &arena.0;
    assert_eq!(load(memory, slot), WorkTimes::default());
    start(memory, slot);
    sleep(PIECE);
    begin(memory, slot, Waiting::Blocked);
    sleep(PIECE);
    let middle = admin.report(SlotId(0)).unwrap().times;
    assert!(middle.working >= PIECE && middle.blocked >= PIECE, "{middle:?}");
    end(memory, slot, Waiting::Blocked);
    let after = load(memory, slot);
    assert!(after.blocked >= middle.blocked && after.working >= middle.working, "{middle:?} {after:?}");
    sleep(PIECE);
    let later = load(memory, slot);
    assert_eq!(later.blocked, after.blocked);
    assert!(later.working >= after.working + PIECE, "a long item is seen while it lasts");
}

#[test]
fn every_way_of_waiting_has_its_own_time_and_all_together_are_the_workers_life() {
    let (arena, _, slot) = fresh();
    let memory = &arena.0;
    let before_start = std::time::Instant::now();
    start(memory, slot);
    let start = std::time::Instant::now();
    for why in Waiting::ALL {
        begin(memory, slot, why);
        begin(memory, slot, why); // a wait within a wait is one
        sleep(PIECE);
        end(memory, slot, why);
        end(memory, slot, why);
    }
    let before = start.elapsed();
    let WorkTimes { working, starved, blocked, paused, for_turn } = load(memory, slot);
    assert!([starved, blocked, paused, for_turn].iter().all(|&time| time >= PIECE));
    let alive = working + starved + blocked + paused + for_turn;
    assert!(
        alive >= before && alive <= before_start.elapsed() + Duration::from_millis(5),
        "{alive:?} {before:?}"
    );
}

#[test]
fn a_reader_never_sees_more_time_than_there_was_whatever_the_words_say() {
    let (arena, _, slot) = fresh();
    let memory = &arena.0;
    start(memory, slot);
    for garbage in [u64::MAX, UNDER_WAY, UNDER_WAY - 1, 12345] {
        (0..slot::WAITS).for_each(|i| memory.store((slot + slot::WAITED).word(i), garbage));
        let times = load(memory, slot);
        assert!(times.starved + times.blocked + times.paused + times.for_turn < Duration::from_secs(60));
    }
}

#[test]
fn items_are_counted_in_the_class_of_their_batchs_mean() {
    let (arena, admin, slot) = fresh();
    let memory = &arena.0;
    item_times::note(memory, slot, 512, Duration::from_micros(100)); // 195 ns each
    item_times::note(memory, slot, 1, Duration::from_micros(1));
    item_times::note(memory, slot, 1, Duration::from_nanos(1001));
    item_times::note(memory, slot, 2, Duration::from_secs(200));
    item_times::note(memory, slot, 0, Duration::from_secs(1));
    let times = admin.report(SlotId(0)).unwrap().item_times;
    assert_eq!((times.counts[0], times.counts[1], times.counts[slot::ITEM_CLASSES - 1]), (513, 1, 2));
    assert_eq!(times.count(), 516);
    assert_eq!(times.sum, Duration::from_secs(200) + Duration::from_nanos(102_001));
    assert!(ITEM_TIME_BOUNDS.is_sorted() && ITEM_TIME_BOUNDS[0] == 1000);
    assert_eq!(ITEM_TIME_BOUNDS[slot::ITEM_CLASSES - 2], 50_000_000_000);
}

#[test]
fn a_slot_that_is_opened_anew_has_no_past() {
    let (arena, mut admin, slot) = fresh();
    start(&arena.0, slot);
    begin(&arena.0, slot, Waiting::Paused);
    item_times::note(&arena.0, slot, 3, Duration::from_secs(1));
    admin.open_slot(SlotId(0), &Tuning::default()).unwrap();
    let report = admin.report(SlotId(0)).unwrap();
    assert_eq!((report.times, report.item_times), (WorkTimes::default(), ItemTimes::default()));
}
