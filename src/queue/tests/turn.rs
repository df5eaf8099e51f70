//! Items that end together with a token which was leased after them, and the note beside the token.

use super::crash::killed;
use super::*;

const TOKEN: QueueId = B;

fn stage(items: usize) -> (Arena, QueueAdmin) {
    let (arena, mut admin) = arena(1000);
    admin.seed(TOKEN, b"old").unwrap();
    let mut writer = attach(&arena, &mut admin, 9);
    (0..items).for_each(|i| put(&mut writer, A, &[i.to_string().as_bytes()]));
    (arena, admin)
}

#[test]
fn a_full_batch_ends_in_one_transaction_with_the_token() {
    let (arena, mut admin) = stage(MAX_BATCH + 5);
    let mut worker = attach(&arena, &mut admin, 0);
    worker.take(&[A], MAX_BATCH, Wait::No).unwrap();
    assert_eq!(worker.leases_left(), 0);
    assert!(matches!(worker.take_first(TOKEN, Wait::No).unwrap(), Taken::Items { .. }));
    assert_eq!((worker.item(0).unwrap().bytes, worker.item(1).unwrap().bytes), (&b"old"[..], &b"0"[..]));
    worker.put(&[TOKEN], b"a token that is a block", Some(0)).unwrap();
    let ends = MAX_BATCH - 1;
    assert!(matches!(worker.commit(1 + ends, Wait::No).unwrap(), Committed::Done { .. }));
    let counts = admin.counts(A).unwrap();
    assert_eq!(
        (counts.done, counts.leased, counts.waiting),
        (ends as u64, 1, 5),
        "nothing is left to be ended"
    );
    assert_eq!(worker.item(0).unwrap().bytes, ends.to_string().as_bytes());
}

#[test]
fn a_worker_killed_at_any_store_of_its_turn_has_ended_all_of_its_items_or_none() {
    for n in 0.. {
        let (arena, mut admin) = stage(3);
        let mut worker = attach(&arena, &mut admin, 0);
        let died = killed(n, || {
            worker.take(&[A], 3, Wait::No).unwrap();
            worker.take_first(TOKEN, Wait::No).unwrap();
            arena.set_note(TOKEN, true, &[7; NOTE_WORDS]).unwrap();
            worker.put(&[TOKEN], b"a token that is a block", Some(0)).unwrap();
            worker.commit(4, Wait::No).unwrap();
        });
        if died {
            worker.die();
            drop(worker);
            admin.release(SlotId(0), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
        }
        admin.audit().unwrap();
        let mut next = attach(&arena, &mut admin, 1);
        next.take_first(TOKEN, Wait::No).unwrap();
        let is_new = next.item(0).unwrap().bytes != b"old";
        let done = admin.counts(A).unwrap().done;
        assert_eq!(done, if is_new { 3 } else { 0 }, "killed at store {n}");
        let note = arena.note(TOKEN, true).unwrap();
        assert!(note.is_none_or(|words| words == [7; NOTE_WORDS]), "half a note: {note:?}");
        assert!(note.is_some() || !is_new, "a note is there before the token is");
        if !died {
            assert!(n > 30, "only {n} stores");
            return;
        }
    }
}

#[test]
fn a_note_goes_with_its_token() {
    let (arena, mut admin) = stage(0);
    arena.set_note(TOKEN, true, &[7; NOTE_WORDS]).unwrap();
    admin.set_label(TOKEN, &"x".repeat(600)).unwrap();
    assert_eq!(arena.note(TOKEN, true).unwrap(), Some([7; NOTE_WORDS]), "a label doesn't reach it");
    admin.remove_queue(TOKEN).unwrap();
    admin.set_queue(TOKEN, &limits(1)).unwrap();
    admin.seed(TOKEN, b"").unwrap();
    assert_eq!(arena.note(TOKEN, true).unwrap(), None);
}

/// A stage with a state that prints: its own token comes first, and that of standard output last.
#[test]
fn a_worker_killed_at_any_store_has_ended_its_items_with_both_of_its_tokens_or_with_none() {
    const PRINTED: QueueId = QueueId(2);
    for n in 0.. {
        let (arena, mut admin) = stage(4);
        admin.set_queue(PRINTED, &limits(1)).unwrap();
        admin.seed(PRINTED, b"old").unwrap();
        let mut worker = attach(&arena, &mut admin, 0);
        [TOKEN, PRINTED].into_iter().for_each(|queue| worker.add_hidden_queue(queue));
        let died = killed(n, || {
            worker.take(&[TOKEN], 1, Wait::No).unwrap();
            worker.take(&[A], 4, Wait::No).unwrap();
            worker.put(&[TOKEN], b"the state is a block, too", Some(0)).unwrap();
            worker.take_before(4, PRINTED, Wait::No).unwrap();
            worker.put(&[PRINTED], b"a token that is a block", Some(4)).unwrap();
            worker.commit(5, Wait::No).unwrap();
        });
        if died {
            worker.die();
            drop(worker);
            admin.release(SlotId(0), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
        } else {
            // The item that was not printed is held still, and neither token counts as work.
            assert_eq!((worker.len(), worker.item(0).unwrap().bytes), (1, &b"3"[..]));
            let report = admin.report(SlotId(0)).unwrap();
            assert_eq!((report.counts.done, report.counts.emitted), (3, 0));
        }
        admin.audit().unwrap();
        let mut next = attach(&arena, &mut admin, 1);
        let mut is_new = |queue| {
            next.take(&[queue], 1, Wait::No).unwrap();
            next.item(next.len() - 1).unwrap().bytes != b"old"
        };
        let (own, printed, done) = (is_new(TOKEN), is_new(PRINTED), admin.counts(A).unwrap().done);
        assert_eq!((own, done), (printed, if own { 3 } else { 0 }), "killed at store {n}");
        if !died {
            assert!(n > 30, "only {n} stores");
            return;
        }
    }
}

/// Not all items of an extent are done when the worker prints them, and then it can't print.
#[test]
fn a_worker_that_gives_its_turn_up_or_dies_gives_back_each_item_of_a_part_once() {
    for n in 0.. {
        let (arena, mut admin) = stage(0);
        let mut writer = attach(&arena, &mut admin, 9);
        (0..4).for_each(|item: u32| writer.put(&[A], item.to_string().as_bytes(), None).unwrap());
        writer.commit(0, Wait::No).unwrap();
        let mut worker = attach(&arena, &mut admin, 0);
        worker.add_hidden_queue(TOKEN);
        let died = killed(n, || {
            worker.take(&[A], 4, Wait::No).unwrap();
            worker.take_before(2, TOKEN, Wait::No).unwrap();
            worker.give_back_all().unwrap();
        });
        if died {
            worker.die();
            drop(worker);
            admin.release(SlotId(0), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
        }
        admin.audit().unwrap();
        let counts = admin.counts(A).unwrap();
        assert_eq!((counts.waiting, counts.leased, counts.done), (4, 0, 0), "killed at store {n}");
        let mut next = attach(&arena, &mut admin, 1);
        next.take(&[A], 9, Wait::No).unwrap();
        let items: Vec<&[u8]> = (0..next.len()).map(|i| next.item(i).unwrap().bytes).collect();
        assert_eq!(items, [b"0", b"1", b"2", b"3"]);
        if !died {
            assert!(n > 15, "only {n} stores");
            return;
        }
    }
}
