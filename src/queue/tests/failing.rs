//! A stage that is failing: who may take what, who is woken, and that no death at any store makes its words lie.

use super::super::recovery::image;
use super::super::transaction::delayed::clock;
use super::super::transaction::failing;
use super::crash::killed;
use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

const NOW: u64 = 1 << 40;
const STAGE: StageId = StageId(0);
/// More than any delay.
const HOUR: u64 = 3_600_000;

fn settings() -> Tuning {
    let retry = Retry { delay: Duration::from_millis(200), max: Duration::from_secs(30) };
    Tuning { attempts: 2, retry, ..Tuning::default() }
}

/// A worker of the stage that reads A; B is its spill queue.
fn worker(arena: &Arena, admin: &mut QueueAdmin, slot: u16) -> WorkerHandle {
    admin.open_slot(SlotId(slot), &settings()).unwrap();
    admin.set_queues_of(SlotId(slot), &[A, B], 1).unwrap();
    admin.set_stage_of(SlotId(slot), STAGE).unwrap();
    let mut worker = WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap();
    worker.add_hidden_queue(B);
    worker.tuning();
    worker
}

/// A stage with these items before it.
fn stage(items: usize) -> (Arena, QueueAdmin) {
    clock::set(NOW);
    let (arena, mut admin) = arena(1000);
    admin.open_stage(STAGE).unwrap();
    let mut writer = attach(&arena, &mut admin, 9);
    (0..items).for_each(|i| put(&mut writer, A, &[i.to_string().as_bytes()]));
    admin.set_ended(A, true).unwrap();
    (arena, admin)
}

fn fail(worker: &mut WorkerHandle) -> Failed {
    worker.fail(0, true, &settings(), "no such host").unwrap()
}

fn take(worker: &mut WorkerHandle, most: usize) -> Vec<String> {
    worker.take(&[B, A], most, Wait::No).unwrap();
    held(worker).into_iter().map(|item| String::from_utf8(item).unwrap()).collect()
}

fn done(worker: &mut WorkerHandle) {
    worker.commit(worker.len(), Wait::No).unwrap();
    worker.settle().unwrap();
}

/// Fails five items, one after the other.
fn make_failing(worker: &mut WorkerHandle) {
    for n in 0..5 {
        assert_eq!(take(worker, 1), [n.to_string()]);
        assert!(matches!(fail(worker), Failed::Again { failing, .. } if failing == (n == 4)));
    }
}

/// What the stage counts is what its items say.
fn check(admin: &mut QueueAdmin) {
    admin.audit().unwrap();
    let tx = admin.session.begin().unwrap();
    let (counted, there) = failing::counted(&tx, STAGE, A).unwrap();
    assert_eq!(counted, there, "items that have failed since the last success");
}

#[test]
fn one_worker_tries_one_item_at_a_time_by_turns_a_fresh_one_and_one_that_has_failed() {
    let (arena, mut admin) = stage(20);
    let mut workers = [0, 1].map(|slot| worker(&arena, &mut admin, slot));
    assert_eq!(admin.failing(STAGE).unwrap(), None);
    make_failing(&mut workers[0]);
    let failing = admin.failing(STAGE).unwrap().unwrap();
    assert_eq!((failing.last_words.as_str(), clock::now()), ("no such host", NOW));
    for (tries, (due, expected)) in [(200, "5"), (400, "0"), (600, "6"), (800, "3")].into_iter().enumerate() {
        clock::set(NOW + due - 1);
        assert!(take(&mut workers[0], 9).is_empty(), "probe {tries} is not due");
        clock::set(NOW + due);
        assert!(take(&mut workers[1], 9).is_empty(), "the other one probes");
        let taken = take(&mut workers[0], 9);
        assert_eq!(taken.len(), 1);
        if tries % 2 == 0 {
            assert_eq!(taken, [expected], "a fresh one");
        } else {
            assert!(taken[0].parse::<u8>().unwrap() < 5 + tries as u8, "one that has failed: {taken:?}");
        }
        assert!(take(&mut workers[0], 9).len() == 1, "no other one before that is through");
        assert!(matches!(fail(&mut workers[0]), Failed::Again { charged: false, failing: true, .. }));
        check(&mut admin);
    }
    clock::set(NOW + HOUR);
    assert_eq!(take(&mut workers[0], 9).len(), 1);
    done(&mut workers[0]);
    assert_eq!(admin.failing(STAGE).unwrap(), None);
    assert_eq!(take(&mut workers[1], 100).len(), 19);
    check(&mut admin);
}

#[test]
fn as_long_as_nothing_is_done_what_is_new_comes_before_what_has_failed() {
    let (arena, mut admin) = stage(9);
    let mut worker = worker(&arena, &mut admin, 0);
    for n in ["0", "1", "2"] {
        assert_eq!(take(&mut worker, 1), [n]);
        fail(&mut worker);
        clock::set(clock::now() + HOUR);
    }
    assert_eq!(take(&mut worker, 1), ["3"]);
    done(&mut worker);
    assert!(take(&mut worker, 1)[0].parse::<u8>().unwrap() < 3, "they are due");
}

#[test]
fn spilled_outputs_go_on_while_no_item_may_be_taken() {
    let (arena, mut admin) = stage(9);
    let mut workers = [0, 1].map(|slot| worker(&arena, &mut admin, slot));
    make_failing(&mut workers[0]);
    put(&mut attach(&arena, &mut admin, 5), B, &[b"spilled"]);
    assert!(take(&mut workers[0], 9) == ["spilled"]);
    done(&mut workers[0]);
    assert!(admin.failing(STAGE).unwrap().is_some(), "that was no item");
    assert!(take(&mut workers[1], 9).is_empty());
}

#[test]
fn those_who_wait_are_woken_by_the_success_and_see_the_end() {
    let (arena, mut admin) = stage(6);
    let mut prober = worker(&arena, &mut admin, 0);
    make_failing(&mut prober);
    admin.open_slot(SlotId(1), &settings()).unwrap();
    admin.set_queues_of(SlotId(1), &[A, B], 1).unwrap();
    admin.set_stage_of(SlotId(1), STAGE).unwrap();
    clock::set(NOW + HOUR);
    assert_eq!(take(&mut prober, 9), ["5"]);
    let other = std::thread::spawn(move || {
        clock::set(NOW + HOUR);
        let mut other = WorkerHandle::open(arena, SlotId(1)).unwrap();
        other.tuning();
        let mut items = 0;
        loop {
            match other.take(&[A], 2, Wait::Forever).unwrap() {
                Taken::Ended => return items,
                _ => items += other.len(),
            }
            other.commit(other.len(), Wait::No).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(30)); // asleep by now, most likely; right in any case
    done(&mut prober);
    assert_eq!(other.join().unwrap(), 5);
}

#[test]
fn after_the_death_of_the_one_that_probes_another_one_does() {
    let (arena, mut admin) = stage(9);
    let mut workers = [0, 1].map(|slot| worker(&arena, &mut admin, slot));
    make_failing(&mut workers[0]);
    clock::set(NOW + HOUR);
    assert_eq!(take(&mut workers[0], 9), ["5"]);
    assert!(take(&mut workers[1], 9).is_empty());
    workers[0].begin(0);
    workers[0].die();
    admin.release(SlotId(0), FailureAttribution::Begun, 2, &mut |_| panic!("no letter")).unwrap();
    check(&mut admin);
    clock::set(NOW + 2 * HOUR);
    assert_eq!(take(&mut workers[1], 9).len(), 1);
    done(&mut workers[1]);
    assert_eq!(admin.failing(STAGE).unwrap(), None);
}

#[test]
fn workers_that_die_each_of_another_item_make_a_stage_failing_too() {
    let (arena, mut admin) = stage(9);
    for n in 0..6 {
        clock::set(NOW + n * HOUR);
        let mut victim = worker(&arena, &mut admin, 0);
        // What has failed is due by now: a fresh one is wanted.
        while take(&mut victim, 1)[0].parse::<u64>().unwrap() < n {
            victim
                .delay(
                    0,
                    false,
                    Delay { time: Duration::from_secs(1), most: Duration::from_secs(9), put_off: 1 },
                )
                .unwrap();
        }
        victim.begin(0);
        victim.die();
        let death = admin.death(SlotId(0)).unwrap();
        assert_eq!(death, Death { is_last_attempt: false, with_another: true });
        admin.set_last_words(SlotId(0), "killed").unwrap();
        admin.release(SlotId(0), FailureAttribution::Begun, 1, &mut |_| panic!("no letter")).unwrap();
        check(&mut admin);
        if n == 4 {
            assert_eq!(admin.failing(STAGE).unwrap().unwrap().last_words, "killed");
            // The slot is another stage's from here on, and what is said there no word of this one.
            admin.open_slot(SlotId(0), &settings()).unwrap();
            admin.set_stage_of(SlotId(0), StageId(1)).unwrap();
            admin.set_last_words(SlotId(0), "of another").unwrap();
            assert_eq!(admin.failing(STAGE).unwrap().unwrap().last_words, "");
            return;
        }
    }
}

#[test]
fn a_clock_that_goes_back_makes_no_stage_stand_still() {
    let (arena, mut admin) = stage(9);
    let mut worker = worker(&arena, &mut admin, 0);
    make_failing(&mut worker);
    let back = NOW - 100 * HOUR;
    clock::set(back);
    assert!(take(&mut worker, 1).is_empty());
    clock::set(back + 30_000);
    assert_eq!(take(&mut worker, 1), ["5"]);
    done(&mut worker);
    assert_eq!(admin.failing(STAGE).unwrap(), None);
}

#[test]
fn a_setting_that_is_changed_opens_the_gate() {
    let (arena, mut admin) = stage(9);
    let mut workers = [0, 1].map(|slot| worker(&arena, &mut admin, slot));
    make_failing(&mut workers[0]);
    assert!(take(&mut workers[1], 1).is_empty());
    let tuning = Tuning { when_failing: WhenFailing::DeadLetter, ..settings() };
    admin.tune(SlotId(1), &tuning).unwrap();
    assert_eq!(take(&mut workers[1], 1), ["5"]);
    assert!(matches!(workers[1].fail(0, true, &tuning, "").unwrap(), Failed::Again { charged: true, .. }));
    assert_eq!(admin.failing(STAGE).unwrap(), None);
}

#[test]
fn an_item_that_is_known_to_be_bad_is_so_after_a_power_cut() {
    let three = Tuning { attempts: 3, ..settings() };
    let twice_with_a_success_between = |is_held: bool| {
        let (arena, mut admin) = stage(3);
        let mut worker = worker(&arena, &mut admin, 0);
        assert_eq!(take(&mut worker, 1), ["0"]);
        worker.fail(0, true, &three, "").unwrap();
        assert_eq!(take(&mut worker, 1), ["1"]);
        done(&mut worker);
        clock::set(NOW + HOUR);
        assert_eq!(take(&mut worker, 1), ["0"]);
        worker.fail(0, true, &three, "").unwrap();
        if is_held {
            clock::set(NOW + 2 * HOUR);
            take(&mut worker, 9);
        }
        admin.image().unwrap().1
    };
    for is_held in [false, true] {
        let bytes = twice_with_a_success_between(is_held);
        let arena = Arena::create().unwrap();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        admin.restore(&image::read(&bytes).unwrap()).unwrap();
        admin.open_stage(STAGE).unwrap();
        check(&mut admin);
        let mut next = worker(&arena, &mut admin, 0);
        clock::set(NOW + 3 * HOUR);
        let bad = take(&mut next, 9).iter().position(|item| item == "0").unwrap();
        assert_eq!(next.fail(bad, true, &three, "").unwrap(), Failed::Dead);
    }
}

/// A new run over the same memory, or over an image of it.
fn next_run(arena: Arena, mut admin: QueueAdmin, is_image: bool) -> (Arena, QueueAdmin) {
    if !is_image {
        admin.recover().unwrap();
        admin.open_stage(STAGE).unwrap();
        return (arena, admin);
    }
    let bytes = admin.image().unwrap().1;
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.restore(&image::read(&bytes).unwrap()).unwrap();
    admin.open_stage(STAGE).unwrap();
    (arena, admin)
}

#[test]
fn items_that_failed_before_another_was_done_are_known_to_be_bad_in_the_next_run() {
    for is_image in [false, true] {
        let (arena, mut admin) = stage(7);
        let mut first = worker(&arena, &mut admin, 0);
        for n in ["0", "1", "2", "3"] {
            assert_eq!(take(&mut first, 1), [n]);
            fail(&mut first);
        }
        assert_eq!(take(&mut first, 1), ["4"]);
        done(&mut first);
        for n in ["5", "6"] {
            assert_eq!(take(&mut first, 1), [n], "nothing is known of this one");
            fail(&mut first);
        }
        first.die();
        drop(first);
        let (arena, mut admin) = next_run(arena, admin, is_image);
        check(&mut admin);
        clock::set(NOW + HOUR);
        let mut next = worker(&arena, &mut admin, 0);
        let mut letters = Vec::new();
        take(&mut next, 9);
        while !next.is_empty() {
            let item = String::from_utf8(next.item(0).unwrap().bytes.to_vec()).unwrap();
            match fail(&mut next) {
                Failed::Dead => {
                    next.dead_letter(0).unwrap();
                    letters.push(item);
                }
                Failed::Again { failing, .. } => assert!(!failing, "{item}"),
            }
        }
        letters.sort();
        assert_eq!(letters[..4], ["0", "1", "2", "3"], "image: {is_image}");
        check(&mut admin);
    }
}

#[test]
fn attempts_that_an_outage_has_cost_are_given_back_in_the_next_run() {
    for is_image in [false, true] {
        let (arena, mut admin) = stage(20);
        let mut first = worker(&arena, &mut admin, 0);
        make_failing(&mut first);
        clock::set(NOW + HOUR);
        let fresh = take(&mut first, 9);
        assert_eq!(fresh, ["5"]);
        fail(&mut first);
        clock::set(NOW + 2 * HOUR);
        assert!(take(&mut first, 9)[0].parse::<u8>().unwrap() < 5, "one that has failed");
        done(&mut first);
        first.die();
        drop(first);
        let (arena, mut admin) = next_run(arena, admin, is_image);
        clock::set(NOW + 3 * HOUR);
        let mut next = worker(&arena, &mut admin, 0);
        take(&mut next, 30);
        let attempts: Vec<u32> = (0..next.len()).map(|i| next.item(i).unwrap().attempt).collect();
        assert_eq!(attempts, vec![1; 19], "image: {is_image}");
    }
}

/// What a life of the stage is: five items fail, one is tried, one is done, and two of those that have failed are letters.
fn live(worker: &mut WorkerHandle, letters: &mut Vec<String>) {
    make_failing(worker);
    for hour in 1..3 {
        clock::set(NOW + hour * HOUR);
        take(worker, 9);
        fail(worker);
    }
    clock::set(NOW + 3 * HOUR);
    take(worker, 9);
    done(worker);
    for hour in 4..7 {
        clock::set(NOW + hour * HOUR);
        take(worker, 2);
        while !worker.is_empty() {
            if fail(worker) == Failed::Dead {
                letters.push(String::from_utf8(worker.item(0).unwrap().bytes.to_vec()).unwrap());
                worker.dead_letter(0).unwrap();
            }
        }
    }
}

/// Works off what is left, and lets nothing fail; what was done.
fn finish(arena: &Arena, admin: &mut QueueAdmin) -> Vec<String> {
    let mut last = worker(arena, admin, 3);
    let mut all = Vec::new();
    for hour in 10.. {
        clock::set(NOW + hour * HOUR);
        match last.take(&[A], 9, Wait::No).unwrap() {
            Taken::Ended => break,
            _ => all.extend(held(&last).into_iter().map(|item| String::from_utf8(item).unwrap())),
        }
        done(&mut last);
        assert!(hour < 100, "the stage stands still");
        check(admin);
    }
    all
}

#[test]
fn killed_at_any_store_no_item_is_lost_and_no_word_lies() {
    for n in 0.. {
        let (arena, mut admin) = stage(8);
        let mut victim = worker(&arena, &mut admin, 0);
        let mut letters = Vec::new();
        let died = killed(n, || live(&mut victim, &mut letters));
        victim.die();
        drop(victim);
        let attribution = [FailureAttribution::Begun, FailureAttribution::Nobody][(n % 2) as usize];
        // The release dies, too, at ever another store.
        killed(n % 41, || {
            admin.release(SlotId(0), attribution, 2, &mut |_| Ok(())).unwrap();
        });
        admin.die();
        admin = QueueAdmin::open(arena.clone()).unwrap();
        admin.release(SlotId(0), attribution, 2, &mut |_| Ok(())).unwrap();
        check(&mut admin);
        let counts = admin.counts(A).unwrap();
        finish(&arena, &mut admin);
        let after = admin.counts(A).unwrap();
        assert_eq!(
            (after.put, after.done + after.dead, after.dead),
            (8, 8, counts.dead),
            "killed at store {n}"
        );
        let unended = letters.len() as u64 - counts.dead.min(letters.len() as u64);
        assert!(unended <= 1, "a letter may come twice, no other: killed at store {n}");
        if !died {
            assert!(n > 400, "only {n} stores");
            assert!(counts.dead >= 2, "no letters: {counts:?}");
            return;
        }
    }
}

#[test]
fn whatever_fails_or_dies_the_words_say_what_is_there() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (arena, mut admin) = stage(12);
        let (mut ended, mut now) = (BTreeSet::new(), NOW);
        for step in 0..150 {
            let slot = random.u16(0..3);
            let mut worker = worker(&arena, &mut admin, slot);
            now += random.u64(0..40_000);
            clock::set(now);
            let most = random.usize(1..4);
            take(&mut worker, most);
            let is_up = random.u8(..5) == 0 || step > 120;
            while !worker.is_empty() {
                let item = held(&worker)[0].clone();
                match random.u8(..10) {
                    0 => {
                        worker.begin(0); // and it dies of it
                        break;
                    }
                    1 => worker.give_back(0, false).unwrap(),
                    2..4 if seed % 2 == 0 => {
                        worker.not_now(0, Duration::ZERO, &settings(), "away").unwrap();
                    }
                    _ if is_up => {
                        worker.commit(1, Wait::No).unwrap();
                        worker.settle().unwrap();
                        assert!(ended.insert(item), "an item came twice");
                    }
                    _ => {
                        if fail(&mut worker) == Failed::Dead {
                            worker.dead_letter(0).unwrap();
                            assert!(ended.insert(item), "an item came twice");
                        }
                    }
                }
            }
            worker.die();
            drop(worker);
            let dead = &mut |letter: DeadLetterCandidate<'_>| {
                assert!(ended.insert(letter.item.to_vec()), "an item came twice");
                Ok(())
            };
            admin.release(SlotId(slot), FailureAttribution::Begun, 2, dead).unwrap();
            check(&mut admin);
        }
        let counts = admin.counts(A).unwrap();
        assert_eq!(counts.done + counts.dead, ended.len() as u64);
        finish(&arena, &mut admin);
    }
}
