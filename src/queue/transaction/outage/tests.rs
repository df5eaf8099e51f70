use super::*;

const LONGEST: u64 = 30_000;

fn stage() -> StageFailures {
    StageFailures { epoch: 7, first_epoch: 7, ..StageFailures::default() }
}

fn terms() -> Terms {
    Terms {
        attempts: 3,
        charge: Charge::Attempt,
        charges_always: false,
        present: 100,
        has_ended: true,
        now: 1000,
        probes: ProbeDelay { first: 200, longest: LONGEST },
    }
}

fn idle(slot: u64) -> Asker {
    Asker { slot, is_idle: true, has_token: false }
}

/// Fails until it is a dead letter; how many attempts that took.
fn attempts_to_death(stage: &mut StageFailures, mut item: ItemFailures, mut failures: u32) -> u32 {
    for attempts in 1..100 {
        let verdict;
        (failures, verdict) = stage.failed(&mut item, failures, &terms());
        if verdict == Verdict::Dead {
            return attempts;
        }
    }
    panic!("it lives on");
}

#[test]
fn a_bad_item_among_good_ones_has_its_attempts_and_is_a_letter() {
    let (mut stage, mut item, mut failures) = (stage(), ItemFailures::default(), 0);
    let mut verdicts = Vec::new();
    for _ in 0..3 {
        let verdict;
        (failures, verdict) = stage.failed(&mut item, failures, &terms());
        verdicts.push(verdict);
        stage.succeeded(&ItemFailures::default());
    }
    assert_eq!((failures, verdicts), (3, vec![Verdict::Again, Verdict::Again, Verdict::Dead]));
}

#[test]
fn an_outage_charges_nothing_and_ends_with_an_item_that_had_failed() {
    let mut stage = stage();
    let mut items = [(ItemFailures::default(), 0); 9];
    for round in 0..4 {
        for (n, (item, failures)) in items.iter_mut().enumerate() {
            let verdict;
            (*failures, verdict) = stage.failed(item, *failures, &terms());
            let begins = round == 0 && n == 4;
            assert_eq!(verdict, if begins { Verdict::BeginsToFail } else { Verdict::Again });
        }
    }
    assert!(stage.succeeded(&items[0].0));
    for (item, failures) in &mut items {
        assert_eq!((stage.settled(item, *failures), item.is_known_bad), (0, false));
    }
}

#[test]
fn a_run_of_bad_items_is_charged_after_all_when_a_fresh_one_succeeds() {
    let mut stage = stage();
    let mut items = [(ItemFailures::default(), 0); 6];
    for (item, failures) in &mut items {
        (*failures, _) = stage.failed(item, *failures, &terms());
    }
    assert_ne!(stage.since, 0);
    assert!(stage.succeeded(&ItemFailures::default()));
    assert_eq!(stage.since, 0);
    for (item, failures) in items {
        assert!(attempts_to_death(&mut stage, item, failures) <= 3);
    }
    assert_eq!(stage.since, 0, "they are known to be bad: no sign of an outage");
}

#[test]
fn slow_traffic_makes_no_letter_of_an_outage() {
    let open = Terms { attempts: 1, has_ended: false, present: 1, ..terms() };
    let (mut stage, mut item, mut failures) = (stage(), ItemFailures::default(), 0);
    for _ in 0..10 {
        let verdict;
        (failures, verdict) = stage.failed(&mut item, failures, &open);
        assert_eq!(verdict, Verdict::Again);
    }
    let two = Terms { present: 2, ..open };
    assert_eq!(stage.failed(&mut ItemFailures::default(), 0, &two), (0, Verdict::BeginsToFail));
}

#[test]
fn at_the_end_of_all_a_few_bad_items_have_their_attempts() {
    let last = Terms { attempts: 1, present: 1, ..terms() };
    assert_eq!(stage().failed(&mut ItemFailures::default(), 0, &last), (1, Verdict::Dead));
    let mut stage = stage();
    let mut items = vec![(ItemFailures::default(), 0); 4];
    for _ in 0..20 {
        for i in (0..items.len()).rev() {
            let terms = Terms { present: items.len() as u64, ..terms() };
            let (item, failures) = &mut items[i];
            let verdict;
            (*failures, verdict) = stage.failed(item, *failures, &terms);
            if verdict == Verdict::Dead {
                stage.died(&items.remove(i).0);
            }
        }
    }
    assert_eq!((items.len(), stage.failed, stage.since), (0, 0, 0));
}

#[test]
fn one_worker_probes_with_growing_delay_by_turns() {
    let mut stage = stage();
    for _ in 0..5 {
        stage.failed(&mut ItemFailures::default(), 0, &terms());
    }
    let delay = terms().probes;
    assert_eq!(stage.gate(idle(1), 1000, LONGEST), Gate::Shut { until: Some(1200) });
    assert_eq!(stage.gate(idle(2), 5000, LONGEST), Gate::Shut { until: None });
    assert_eq!(stage.gate(idle(1), 1200, LONGEST), Gate::Probe { fresh: true });
    stage.probed(1200, delay);
    let busy = Asker { is_idle: false, ..idle(1) };
    assert_eq!(stage.gate(busy, 9000, LONGEST), Gate::Shut { until: None }, "it is at it");
    let mut item = ItemFailures::default();
    stage.failed(&mut item, 0, &Terms { now: 1300, ..terms() });
    assert_eq!(stage.gate(idle(1), 1300, LONGEST), Gate::Shut { until: Some(1500) });
    assert_eq!(stage.gate(idle(1), 1500, LONGEST), Gate::Probe { fresh: false });
    let with_token = Asker { has_token: true, ..idle(2) };
    assert_eq!(stage.gate(with_token, 1500, LONGEST), Gate::Probe { fresh: false }, "the others can't");
    assert!(stage.succeeded(&item));
    assert_eq!(stage.gate(idle(3), 1800, LONGEST), Gate::Open);
}

#[test]
fn a_probe_that_does_not_fail_as_others_do_is_none_too_early() {
    let mut stage = StageFailures { since: 1, tries: 1, ..stage() };
    let delay = terms().probes;
    let mut waits = Vec::new();
    for _ in 0..94 {
        assert!(matches!(stage.gate(idle(1), stage.next_probe, LONGEST), Gate::Probe { .. }));
        let now = stage.next_probe;
        stage.probed(now, delay);
        waits.push(stage.next_probe - now);
    }
    // Ten; one after each of three waits; then one for each second of a wait.
    let mut expected = vec![200; 9];
    for wait in [400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
        expected.push(wait);
        expected.extend((1..wait / 1000).map(|_| 0));
    }
    assert_eq!(waits, expected[..94]);
}

#[test]
fn whoever_asked_for_letters_gets_them() {
    let always = Terms { charges_always: true, ..terms() };
    let mut stage = stage();
    for _ in 0..50 {
        let mut item = ItemFailures::default();
        assert_eq!(stage.failed(&mut item, 2, &always), (3, Verdict::Dead));
    }
    assert_eq!(stage.since, 0);
    for _ in 0..5 {
        stage.failed(&mut ItemFailures::default(), 0, &terms());
    }
    assert_ne!(stage.since, 0);
    stage.failed(&mut ItemFailures::default(), 0, &always);
    assert_eq!(stage.since, 0, "the setting was changed meanwhile");
}

#[test]
fn what_is_not_charged_counts_as_a_failure_and_uses_no_attempt_up() {
    let uncharged = Terms { charge: Charge::NotNow, attempts: 1, present: 1, ..terms() };
    let mut stage = stage();
    let mut item = ItemFailures::default();
    assert_eq!(stage.failed(&mut item, 0, &uncharged), (0, Verdict::Again));
    assert_eq!((stage.failed, item.charged), (1, 0));
}

#[test]
fn different_items_that_are_not_done_now_make_a_stage_failing_and_one_among_good_ones_does_not() {
    let uncharged = Terms { charge: Charge::NotNow, ..terms() };
    let (mut stage, mut verdicts) = (stage(), Vec::new());
    for _ in 0..5 {
        verdicts.push(stage.failed(&mut ItemFailures::default(), 0, &uncharged));
    }
    assert_eq!(verdicts[..4], [(0, Verdict::Again); 4]);
    assert_eq!(verdicts[4], (0, Verdict::BeginsToFail));
    let (mut stage, mut item) = (self::stage(), ItemFailures::default());
    for round in 0..100 {
        assert_eq!(stage.failed(&mut item, 0, &uncharged), (0, Verdict::Again));
        // Now and then nothing else is done in between.
        if round % 10 < 4 {
            stage.succeeded(&ItemFailures::default());
        }
    }
    assert_eq!(stage.since, 0);
}

#[test]
fn nothing_is_known_of_items_of_an_earlier_run() {
    let mut stage = stage();
    let mut old = ItemFailures { failed_in: 6, charged: 1, ..ItemFailures::default() };
    let last = Terms { attempts: 1, ..terms() };
    assert_eq!(stage.failed(&mut old, 1, &last), (2, Verdict::Again));
    assert!(!old.is_known_bad);
}

/// Whatever happens: charges never exceed what was charged, letters are written only of items that others have passed or
/// that are the last, and a success always opens the gate.
#[test]
fn any_order_of_successes_and_failures() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..2000 {
        let (mut stage, mut successes) = (stage(), 0_u64);
        let mut items: Vec<(ItemFailures, u32, Option<u64>)> = vec![Default::default(); 12];
        for now in 1000..1200 {
            if items.is_empty() {
                break;
            }
            let i = random.usize(..items.len());
            let present = items.len() as u64;
            if random.u8(..4) == 0 {
                let was_failing = stage.since != 0;
                assert_eq!(stage.succeeded(&items[i].0), was_failing);
                successes += 1;
                items.swap_remove(i);
                assert_eq!(stage.gate(idle(1), now, LONGEST), Gate::Open);
                continue;
            }
            let has_ended = random.bool();
            let terms = Terms { present, has_ended, now, attempts: 2, ..terms() };
            let (item, failures, first) = &mut items[i];
            let before = *failures;
            let verdict;
            (*failures, verdict) = stage.failed(item, *failures, &terms);
            assert!(*failures <= before + 1);
            let passed = first.get_or_insert(successes) != &successes;
            if verdict == Verdict::Dead {
                assert!(passed || has_ended && u64::from(stage.failed) >= present, "{item:?}");
                let item = *item;
                stage.died(&item);
                items.swap_remove(i);
            }
            let known =
                items.iter().filter(|(item, _, _)| item.failed_in == stage.epoch && !item.is_known_bad);
            assert_eq!(stage.failed, known.count() as u32);
        }
    }
}

#[test]
fn what_began_to_fail_with_few_items_is_over_once_no_more_will_come() {
    let open = Terms { has_ended: false, present: 2, ..terms() };
    let mut stage = stage();
    let mut items = [ItemFailures::default(); 2];
    stage.failed(&mut items[0], 0, &open);
    assert_eq!(stage.failed(&mut items[1], 0, &open).1, Verdict::BeginsToFail);
    assert!(!stage.has_failed_all(&open));
    assert!(stage.has_failed_all(&Terms { has_ended: true, ..open }));
    assert!(!stage.has_failed_all(&Terms { has_ended: true, present: 3, ..open }), "one was not tried");
}

#[test]
fn a_clock_that_goes_back_puts_no_probe_off_for_longer_than_the_longest_delay() {
    let mut stage = StageFailures { since: 900_000, next_probe: 1_000_200, ..stage() };
    assert_eq!(stage.gate(idle(1), 1000, LONGEST), Gate::Shut { until: Some(1000 + LONGEST) });
    assert_eq!(stage.gate(idle(1), 1000 + LONGEST, LONGEST), Gate::Probe { fresh: true });
    stage.probed(5000, terms().probes);
    assert_eq!(stage.gate(idle(1), 5000, 50), Gate::Shut { until: Some(5050) }, "a shorter `retry.max`");
}

fn not_now(stage: &mut StageFailures, item: &mut ItemFailures, present: u64) -> Verdict {
    stage.failed(item, 0, &Terms { charge: Charge::NotNow, present, ..terms() }).1
}

#[test]
fn where_all_that_is_left_says_not_now_the_stage_is_failing_whatever_is_known_of_it() {
    for present in [1, 3, 100] {
        let mut stage = stage();
        let mut items = vec![ItemFailures::default(); present];
        // Others are done meanwhile.
        for item in &mut items {
            assert_eq!(not_now(&mut stage, item, present as u64 + 1), Verdict::Again);
            assert!(!stage.succeeded(&ItemFailures::default()));
        }
        let mut verdicts = Vec::new();
        while stage.since == 0 {
            items.iter_mut().for_each(|item| verdicts.push(not_now(&mut stage, item, present as u64)));
            assert!(verdicts.len() <= 2 * present.max(5), "{present}");
        }
        assert!(items.iter().all(|item| item.is_known_bad));
        assert!(verdicts.len() >= 5, "one word of a single item is too early: {present}");
        let last = Terms { present: present as u64, ..terms() };
        assert!(!stage.has_failed_all(&last));
        stage.failed(&mut items[0], 0, &Terms { charge: Charge::Nothing, ..last });
        assert!(stage.since != 0 && !stage.has_failed_all(&last), "that may be another's");
        assert!(stage.succeeded(&items[0]), "it ends with the first that is done");
    }
}

/// A stage that is failing since all of these items say not now. `known_bad`: others were done meanwhile.
fn put_off(items: &mut [ItemFailures], known_bad: bool) -> StageFailures {
    let (mut stage, present) = (stage(), items.len() as u64);
    for item in items.iter_mut() {
        not_now(&mut stage, item, present + 1);
        if known_bad {
            stage.succeeded(&ItemFailures::default());
        }
    }
    while stage.since == 0 {
        for item in items.iter_mut() {
            not_now(&mut stage, item, present);
        }
    }
    stage
}

#[test]
fn where_a_few_are_left_that_said_not_now_each_of_them_that_fails_has_its_attempts_and_is_a_letter() {
    for known_bad in [false, true] {
        for present in 1..=4 {
            let mut items = vec![ItemFailures::default(); present];
            let mut stage = put_off(&mut items, known_bad);
            let mut left: Vec<_> = items.into_iter().map(|item| (item, 0)).collect();
            for round in 0..20 {
                for i in (0..left.len()).rev() {
                    let terms = Terms { present: left.len() as u64, ..terms() };
                    let (item, failures) = &mut left[i];
                    let verdict;
                    (*failures, verdict) = stage.failed(item, *failures, &terms);
                    assert_eq!(*failures, round + 1, "{known_bad} {present}");
                    if verdict == Verdict::Dead {
                        stage.died(&left.remove(i).0);
                    }
                }
            }
            let StageFailures { failed, put_off, fresh_put_off, since, .. } = stage;
            assert_eq!((left.len(), failed, put_off, fresh_put_off, since), (0, 0, 0, 0, 0));
        }
    }
}

#[test]
fn a_program_that_breaks_while_its_stage_is_failing_for_not_now_makes_no_letters() {
    for attempts in [1, 2] {
        let mut items = vec![ItemFailures::default(); 12];
        let mut stage = put_off(&mut items, false);
        let last = Terms { present: 12, attempts, ..terms() };
        let mut charged = 0;
        for _ in 0..10 {
            for item in &mut items {
                let (failures, verdict) = stage.failed(item, 0, &last);
                assert_eq!(verdict, Verdict::Again);
                charged += failures;
            }
        }
        assert!(stage.since != 0 && charged == 4, "the fifth answer is one too many: {charged}");
    }
}

#[test]
fn an_item_that_is_known_to_be_bad_is_a_letter_while_others_say_not_now_and_none_while_they_fail() {
    for (charge, is_dead) in [(Charge::NotNow, true), (Charge::Attempt, false)] {
        let (mut stage, mut bad) = (stage(), ItemFailures::default());
        let open = Terms { has_ended: false, attempts: 2, ..terms() };
        let (mut failures, _) = stage.failed(&mut bad, 0, &open);
        stage.succeeded(&ItemFailures::default());
        for _ in 0..5 {
            stage.failed(&mut ItemFailures::default(), 0, &Terms { charge, ..open });
        }
        assert_ne!(stage.since, 0);
        let verdict;
        (failures, verdict) = stage.failed(&mut bad, failures, &open);
        let expected = if is_dead { (2, Verdict::Dead) } else { (1, Verdict::Again) };
        assert_eq!((failures, verdict), expected);
    }
}

#[test]
fn no_stage_fails_on_once_the_last_item_for_which_it_does_has_an_answer_or_is_dead() {
    let two = Terms { present: 2, attempts: 2, ..terms() };
    let mut items = [ItemFailures::default(); 2];
    let mut stage = put_off(&mut items, true);
    assert_eq!(stage.failed(&mut items[0], 0, &two), (1, Verdict::Again));
    assert_ne!(stage.since, 0);
    let mut answered = stage;
    assert_eq!(answered.failed(&mut items[1].clone(), 0, &two), (1, Verdict::Again));
    assert_eq!(answered.since, 0);
    // What makes a letter changes nothing before that is written.
    let (mut tried, mut item) = (stage, items[1]);
    assert_eq!(tried.failed(&mut item, 1, &two), (2, Verdict::Dead));
    stage.died(&items[1]);
    assert_eq!((stage.put_off, stage.since), (0, 0));
}

#[test]
fn a_failure_that_may_be_anothers_is_no_word_of_the_item() {
    let (mut stage, mut item) = (stage(), ItemFailures::default());
    for _ in 0..10 {
        let terms = Terms { charge: Charge::Nothing, present: 1, ..terms() };
        assert_eq!(stage.failed(&mut item, 0, &terms), (0, Verdict::Again));
    }
    let last = Terms { attempts: 1, present: 1, ..terms() };
    assert_eq!(stage.failed(&mut item, 0, &last), (1, Verdict::Dead));
}

#[test]
fn a_bad_item_among_those_that_say_not_now_is_a_letter_before_the_stage_is_failing() {
    let (mut stage, mut later, mut bad) = (stage(), ItemFailures::default(), ItemFailures::default());
    let mut failures = 0;
    let verdict = loop {
        assert_eq!(not_now(&mut stage, &mut later, 2), Verdict::Again);
        let verdict;
        (failures, verdict) = stage.failed(&mut bad, failures, &Terms { present: 2, ..terms() });
        if verdict != Verdict::Again {
            break verdict;
        }
    };
    assert_eq!((verdict, failures), (Verdict::Dead, 3));
    stage.died(&bad);
    assert_eq!(not_now(&mut stage, &mut later, 1), Verdict::BeginsToFail);
}

#[test]
fn a_fresh_bad_item_beside_one_that_says_not_now_is_a_letter() {
    let (mut stage, mut later, mut bad) = (stage(), ItemFailures::default(), ItemFailures::default());
    not_now(&mut stage, &mut later, 3);
    stage.succeeded(&ItemFailures::default());
    let (mut failures, mut verdict) = (0, Verdict::Again);
    for _ in 0..4 {
        not_now(&mut stage, &mut later, 2);
        (failures, verdict) = stage.failed(&mut bad, failures, &Terms { present: 2, ..terms() });
        if verdict == Verdict::Dead {
            break;
        }
    }
    assert_eq!((verdict, stage.since), (Verdict::Dead, 0));
}
