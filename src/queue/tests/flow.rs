use super::*;

#[test]
fn items_come_out_in_the_order_they_went_in() {
    let (arena, mut admin) = arena(100);
    let mut writer = attach(&arena, &mut admin, 0);
    let mut reader = attach(&arena, &mut admin, 1);
    let long = vec![7u8; 5000];
    put(&mut writer, A, &[b"one", b"", &long, b"12345678", b"123456789"]);
    assert_eq!(reader.take(&[A], 3, Wait::No).unwrap(), Taken::Items { before: 5, after: 2 });
    assert_eq!(reader.take(&[A], 10, Wait::No).unwrap(), Taken::Items { before: 2, after: 0 });
    assert_eq!(held(&reader), [&b"one"[..], b"", &long, b"12345678", b"123456789"]);
    reader.commit(5, Wait::No).unwrap();
    assert_eq!(reader.take(&[A], 10, Wait::No).unwrap(), Taken::Empty);
    admin.audit().unwrap();
    writer.settle().unwrap();
    assert_eq!(admin.counts(A).unwrap(), QueueCounts { put: 5, done: 5, ..QueueCounts::default() });
}

#[test]
fn a_full_queue_takes_no_more_and_says_how_full_it_is() {
    let (arena, mut admin) = arena(2);
    let mut writer = attach(&arena, &mut admin, 0);
    for item in [b"a", b"b", b"c"] {
        writer.put(&[A], item, None).unwrap();
    }
    assert_eq!(writer.commit(0, Wait::No).unwrap(), Committed::Full { queue: A, size: 2 });
    let mut reader = attach(&arena, &mut admin, 1);
    reader.take(&[A], 1, Wait::No).unwrap();
    assert_eq!(writer.commit(0, Wait::No).unwrap(), Committed::Done { before: 1, after: 2 });
}

#[test]
fn rings_grow_and_shrink_with_what_is_queued() {
    let items = if cfg!(miri) { 1000 } else { 60_000_u64 };
    let (arena, mut admin) = arena(items);
    let mut writer = attach(&arena, &mut admin, 0);
    let mut reader = attach(&arena, &mut admin, 1);
    for round in 0..3u64 {
        for start in (0..items).step_by(500) {
            for i in start..start + 500 {
                writer.put(&[A], &(round + i).to_le_bytes(), None).unwrap();
            }
            writer.commit(0, Wait::No).unwrap();
        }
        for i in 0..items {
            if reader.is_empty() {
                reader.take(&[A], 512, Wait::No).unwrap();
            }
            assert_eq!(reader.item(0).unwrap().bytes, (round + i).to_le_bytes());
            reader.commit(1, Wait::No).unwrap();
        }
        assert_eq!(admin.audit().unwrap()[0].1.waiting, 0);
    }
}

#[test]
fn the_end_comes_when_nothing_waits_and_nothing_is_leased() {
    let (arena, mut admin) = arena(10);
    let mut worker = attach(&arena, &mut admin, 0);
    let mut other = attach(&arena, &mut admin, 1);
    put(&mut worker, A, &[b"x"]);
    worker.take(&[A], 1, Wait::No).unwrap();
    admin.set_ended(A, true).unwrap();
    assert_eq!(other.take(&[A], 1, Wait::No).unwrap(), Taken::Empty);
    worker.commit(1, Wait::No).unwrap();
    assert_eq!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Ended);
    assert_eq!(other.take(&[A], 1, Wait::No).unwrap(), Taken::Ended);
}

#[test]
fn a_dead_workers_items_return_to_the_front_and_only_the_begun_one_is_blamed() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"1", b"2", b"3", b"4"]);
    let mut victim = attach(&arena, &mut admin, 1);
    victim.take(&[A], 3, Wait::No).unwrap();
    victim.begin(1);
    drop(victim);
    let released =
        admin.release(SlotId(1), FailureAttribution::Begun, 3, &mut |_| panic!("not yet")).unwrap();
    assert_eq!(released, Released { returned: 3, dead: 0 });
    let mut next = attach(&arena, &mut admin, 1);
    next.take(&[A], 10, Wait::No).unwrap();
    assert_eq!(held(&next), [b"1", b"2", b"3", b"4"]);
    let attempts: Vec<u32> = (0..4).map(|i| next.item(i).unwrap().attempt).collect();
    assert_eq!(attempts, [1, 2, 1, 1]);
}

#[test]
fn an_item_that_kills_every_time_is_a_dead_letter_once() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"poison", b"good"]);
    let mut letters = Vec::new();
    for _ in 0..3 {
        let mut victim = attach(&arena, &mut admin, 1);
        victim.take(&[A], 2, Wait::No).unwrap();
        victim.begin(0);
        drop(victim);
        let write_dead_letter = &mut |candidate: DeadLetterCandidate<'_>| {
            letters.push((candidate.item.to_vec(), candidate.attempts, candidate.id));
            Ok(())
        };
        admin.release(SlotId(1), FailureAttribution::Begun, 3, write_dead_letter).unwrap();
    }
    assert_eq!(letters, [(b"poison".to_vec(), 3, 0)]);
    let counts = admin.audit().unwrap()[0].1;
    assert_eq!((counts.dead, counts.waiting, counts.put), (1, 1, 2));
}

#[test]
fn an_item_that_waits_for_its_letter_stays_leased_and_the_others_go_back_at_once() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"poison", b"good", b"better"]);
    let mut victim = attach(&arena, &mut admin, 1);
    victim.take(&[A], 3, Wait::No).unwrap();
    victim.begin(0);
    drop(victim);
    assert!(admin.dead_letter_candidate(SlotId(1), 2).unwrap().is_none(), "it has another try");
    let candidate = admin.dead_letter_candidate(SlotId(1), 1).unwrap().unwrap();
    assert_eq!((candidate.item, candidate.attempts, candidate.id), (b"poison".as_slice(), 1, 0));
    // However often it is tried.
    assert_eq!(admin.release_others(SlotId(1)).unwrap(), Released { returned: 2, dead: 0 });
    assert_eq!(admin.release_others(SlotId(1)).unwrap(), Released::default());
    let counts = admin.audit().unwrap()[0].1;
    assert_eq!((counts.waiting, counts.leased, counts.dead), (2, 1, 0));
    let released = admin.release(SlotId(1), FailureAttribution::Begun, 1, &mut |_| Ok(())).unwrap();
    assert_eq!(released, Released { returned: 0, dead: 1 });
    let mut next = attach(&arena, &mut admin, 1);
    next.take(&[A], 10, Wait::No).unwrap();
    assert_eq!(held(&next), [b"good".as_slice(), b"better"]);
}

#[test]
fn more_outputs_than_room_go_out_in_parts_and_are_not_repeated() {
    let (arena, mut admin) = arena(2);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"in"]);
    let mut worker = attach(&arena, &mut admin, 1);
    worker.take(&[A], 1, Wait::No).unwrap();
    for i in 0..5u8 {
        worker.put(&[B], &[i], Some(0)).unwrap();
    }
    assert!(matches!(worker.commit(1, Wait::No).unwrap(), Committed::Full { .. }));
    drop(worker);
    admin.release(SlotId(1), FailureAttribution::Begun, 3, &mut |_| Ok(())).unwrap();
    let mut next = attach(&arena, &mut admin, 2);
    next.take(&[A], 1, Wait::No).unwrap();
    assert_eq!(next.item(0).unwrap().mark, 2);
}

#[test]
fn policies_drop_what_they_say_and_count_it() {
    for (policy, left) in [(WhenFull::DropNew, [b"0", b"1"]), (WhenFull::DropOld, [b"3", b"4"])] {
        let (arena, mut admin) = arena(2);
        admin.set_queue(A, &Limits { when_full: policy, ..limits(2) }).unwrap();
        let mut writer = attach(&arena, &mut admin, 0);
        put(&mut writer, A, &[b"0", b"1", b"2", b"3", b"4"]);
        let mut reader = attach(&arena, &mut admin, 1);
        reader.take(&[A], 10, Wait::No).unwrap();
        assert_eq!(held(&reader), left, "{policy:?}");
        let counts = admin.audit().unwrap()[0].1;
        assert_eq!((counts.put, counts.dropped, counts.leased), (5, 3, 2));
    }
}

#[test]
fn bytes_are_bounded_too() {
    let (arena, mut admin) = arena(1000);
    let mut writer = attach(&arena, &mut admin, 0);
    let big = vec![1u8; 300_000]; // a block of 512 KiB
    writer.put(&[A], &big, None).unwrap();
    writer.put(&[A], &big, None).unwrap();
    writer.commit(0, Wait::No).unwrap();
    admin.order(SlotId(0), Order::Finish).unwrap();
    assert!(matches!(writer.put(&[A], &big, None), Err(PutError::Ordered)));
    let mut reader = attach(&arena, &mut admin, 1);
    reader.take(&[A], 1, Wait::No).unwrap();
    reader.commit(1, Wait::No).unwrap();
    reader.settle().unwrap();
    writer.put(&[A], &big, None).unwrap();
}

#[test]
fn several_outputs_get_every_item() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    writer.put(&[A, B], b"to both of them", None).unwrap();
    writer.commit(0, Wait::No).unwrap();
    let mut reader = attach(&arena, &mut admin, 1);
    reader.take(&[A, B], 10, Wait::No).unwrap();
    assert_eq!(held(&reader), [b"to both of them", b"to both of them"]);
    admin.audit().unwrap();
}

#[test]
fn nobody_reads_any_more() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    admin.set_closed(A, true).unwrap();
    writer.put(&[A], b"a long enough item", None).unwrap();
    assert_eq!(writer.commit(0, Wait::Forever).unwrap(), Committed::Closed);
    writer.put(&[A, B], b"a long enough item", None).unwrap();
    assert!(matches!(writer.commit(0, Wait::Forever).unwrap(), Committed::Done { .. }));
    let counts = admin.audit().unwrap();
    assert_eq!((counts[0].1.put, counts[1].1.put), (0, 1));
}

#[test]
fn a_source_whose_reader_has_gone_is_told_though_its_token_could_still_be_put() {
    // A source went on for ever behind a `head -1`: its own token's queue was open.
    let (arena, mut admin) = arena(10);
    admin.seed(B, b"").unwrap();
    admin.set_closed(A, true).unwrap();
    let mut source = attach(&arena, &mut admin, 0);
    source.add_hidden_queue(B);
    source.take(&[B], 1, Wait::No).unwrap();
    source.put(&[A], b"an item for nobody", Some(0)).unwrap();
    source.put(&[B], b"position", Some(0)).unwrap();
    assert_eq!(source.commit(1, Wait::Forever).unwrap(), Committed::Closed);
}
