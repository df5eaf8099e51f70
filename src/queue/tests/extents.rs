//! Items that lie together: joined as they are put, cut where one goes its own way, free with their last.

use super::crash::killed;
use super::*;
use std::time::Duration;

/// An arena whose writer expects several items for `A`.
fn with_writer(capacity: u64) -> (Arena, QueueAdmin, WorkerHandle) {
    let (arena, mut admin) = arena(capacity);
    let writer = attach(&arena, &mut admin, 0);
    (arena, admin, writer)
}

#[test]
fn lines_join_the_output_before_them_as_far_as_they_are_whole_and_short_enough() {
    let (arena, mut admin, mut writer) = with_writer(100);
    admin.set_queue(A, &Limits { max_item: 20, ..limits(100) }).unwrap();
    assert_eq!(writer.put_lines(A, b"a\nb\n", 9), (0, 0), "there is nothing that they join");
    writer.put(&[A], b"first", None).unwrap();
    writer.put(&[A], b"second", None).unwrap();
    assert_eq!(writer.put_lines(B, b"a\n", 9), (0, 0));
    assert_eq!(writer.put_lines(A, b"third\n\nfifth\nhalf", 9), (3, 13));
    assert_eq!(writer.put_lines(A, b"sixth\nseventh\n", 1), (1, 6));
    let long = [&b"short\n"[..], &[b'x'; 21], b"\n"].concat();
    assert_eq!(writer.put_lines(A, &long, 9), (1, 6));
    assert!(matches!(writer.commit(0, Wait::No).unwrap(), Committed::Done { after: 7, .. }));
    let mut reader = attach(&arena, &mut admin, 1);
    reader.take(&[A], 100, Wait::No).unwrap();
    let all = [&b"first"[..], b"second", b"third", b"", b"fifth", b"sixth", b"short"];
    assert_eq!(held(&reader), all);
    assert_eq!(reader.lines(0).unwrap(), None, "the first lies by itself");
    assert_eq!(reader.lines(1).unwrap(), Some((&b"second\nthird\n\nfifth\nsixth\nshort\n"[..], 6)));
    assert_eq!(reader.lines(4).unwrap(), Some((&b"fifth\nsixth\nshort\n"[..], 3)));
    assert_eq!((0..7).map(|i| reader.item(i).unwrap().id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    writer.settle().unwrap();
    admin.audit().unwrap();
}

#[test]
fn no_more_lines_are_staged_than_outputs_may_be() {
    let (_arena, _admin, mut writer) = with_writer(10_000);
    writer.put(&[A], b"1", None).unwrap();
    writer.put(&[A], b"2", None).unwrap();
    let lines = b"x\n".repeat(2000);
    let mut staged = 2;
    loop {
        let (n, bytes) = writer.put_lines(A, &lines, usize::MAX);
        assert_eq!(bytes, 2 * n);
        staged += n;
        if staged == 512 {
            break;
        }
        writer.put(&[A], b"x", None).unwrap(); // the extent was full: it gets another one
        staged += 1;
    }
    assert_eq!(writer.put_lines(A, &lines, usize::MAX), (0, 0));
}

/// Each of them ends by itself, in any order; the block is free with the last and not before.
#[test]
fn an_extent_is_free_with_the_last_of_its_items() {
    let (arena, mut admin, mut writer) = with_writer(100);
    let mut reader = attach(&arena, &mut admin, 1);
    let items: Vec<[u8; 40]> = (0..9).map(|i| [i; 40]).collect();
    items.iter().for_each(|item| writer.put(&[A], item, None).unwrap());
    writer.commit(0, Wait::No).unwrap();
    writer.settle().unwrap();
    let mut other = attach(&arena, &mut admin, 2);
    reader.take(&[A], 6, Wait::No).unwrap();
    other.take(&[A], 6, Wait::No).unwrap();
    assert_eq!(
        (held(&reader), held(&other)),
        (items[..6].iter().map(|i| i.to_vec()).collect(), items[6..].iter().map(|i| i.to_vec()).collect())
    );
    reader.dead_letter(3).unwrap();
    reader.give_back(1, true).unwrap();
    reader.commit(2, Wait::No).unwrap();
    reader.settle().unwrap();
    admin.audit().unwrap();
    other.take(&[A], 6, Wait::No).unwrap();
    assert_eq!(other.item(3).unwrap().bytes, [1; 40]);
    assert_eq!((other.item(3).unwrap().id, other.item(3).unwrap().attempt), (1, 2));
    other.commit(4, Wait::No).unwrap();
    other.settle().unwrap();
    assert!(admin.audit().unwrap()[0].1.bytes >= 128, "items 4 and 5 are in use");
    reader.commit(2, Wait::No).unwrap();
    reader.settle().unwrap();
    let counts = admin.audit().unwrap()[0].1;
    assert_eq!((counts.done, counts.dead, counts.bytes, counts.leased), (8, 1, 0, 0));
}

/// One item of a failed pair keeps no block in use: it has one of its own.
#[test]
fn a_failed_item_leaves_its_extent_where_there_is_room() {
    for (max_bytes, bytes) in [(1 << 20, 64), (4096, 256)] {
        let (arena, mut admin, mut writer) = with_writer(100);
        admin.set_queue(A, &Limits { max_bytes, ..limits(100) }).unwrap();
        let mut reader = attach(&arena, &mut admin, 1);
        (0..4).for_each(|i| writer.put(&[A], &[i; 40], None).unwrap());
        writer.commit(0, Wait::No).unwrap();
        writer.settle().unwrap();
        reader.take(&[A], 4, Wait::No).unwrap();
        // Where the queue is full of bytes the item stays where it is.
        if max_bytes == 4096 {
            admin.set_queue(A, &Limits { max_bytes: 64, ..limits(100) }).unwrap();
        }
        reader.give_back(2, true).unwrap();
        reader.commit(3, Wait::No).unwrap();
        reader.settle().unwrap();
        assert_eq!(admin.audit().unwrap()[0].1.bytes, bytes);
        reader.take(&[A], 4, Wait::No).unwrap();
        assert_eq!(reader.item(0).unwrap().bytes, [2; 40]);
    }
}

/// Of a worker that dies over the middle of a span the item goes back alone and charged, the others around it as they were,
/// in their order, wherever the death and the release's own death strike.
#[test]
fn a_death_over_a_run_of_lines_charges_one_of_them() {
    let mut at = 0;
    let mut deaths = 0;
    loop {
        let (arena, mut admin, mut writer) = with_writer(100);
        let mut victim = attach(&arena, &mut admin, 1);
        let is_dead = killed(at, || {
            writer.put(&[A], b"0", None).unwrap();
            writer.put(&[A], b"1", None).unwrap();
            writer.put_lines(A, b"2\n3\n4\n5\n6\n", 9);
            writer.commit(0, Wait::No).unwrap();
            victim.take(&[A], 9, Wait::No).unwrap();
            victim.commit(2, Wait::No).unwrap();
            victim.begin(2);
            victim.give_back(4, false).unwrap();
            victim.settle().unwrap();
        });
        [&writer, &victim].iter().for_each(|worker| worker.die());
        let mut release_at = at % 7;
        while killed(release_at, || {
            for slot in [SlotId(0), SlotId(1)] {
                admin.release(slot, FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
            }
        }) {
            admin.die();
            release_at += 5;
        }
        let counts = admin.audit().unwrap()[0].1;
        assert_eq!((counts.leased, counts.waiting + counts.done), (0, counts.put), "killed at {at}");
        let mut reader = attach(&arena, &mut admin, 2);
        reader.take(&[A], 9, Wait::No).unwrap();
        let left: Vec<(u64, Vec<u8>, u32)> = (0..reader.len())
            .map(|i| reader.item(i).unwrap())
            .map(|lease| (lease.id, lease.bytes.to_vec(), lease.attempt))
            .collect();
        let charged = left.iter().filter(|(_, _, attempt)| *attempt == 2).count();
        assert!(left.iter().all(|(id, bytes, _)| *bytes == id.to_string().as_bytes()), "{left:?}");
        assert!(charged <= 1 && left.iter().all(|(id, _, attempt)| *attempt == 1 || *id == 4), "{left:?}");
        deaths += u32::from(is_dead);
        if !is_dead {
            assert_eq!((left.len(), charged), (5, 1));
            break;
        }
        at += 1;
    }
    assert!(deaths > 60, "{deaths}");
}

/// The block that it takes and the one that becomes free are of one class.
#[test]
fn items_killed_while_they_leave_their_extents_leave_every_block_in_one_place() {
    for n in 0.. {
        let (arena, mut admin) = arena(100);
        let mut writer = attach(&arena, &mut admin, 0);
        // Free blocks of the class, one or some.
        put(&mut writer, B, &[&[1; 9], &[2; 9]]);
        writer.take(&[B], 1 + (n % 2) as usize, Wait::No).unwrap();
        writer.commit(2, Wait::No).unwrap();
        writer.give_back_all().unwrap();
        for _ in 0..4 {
            (0..2).for_each(|_| writer.put(&[A], b"", None).unwrap());
            writer.discard_staged().unwrap();
            put(&mut writer, A, &[&[3; 9]]); // several were expected: an extent with one
        }
        let mut worker = attach(&arena, &mut admin, 1);
        let later = Delay { time: Duration::from_secs(5), most: Duration::from_secs(9), put_off: 0 };
        let died = killed(n / 2, || {
            worker.take(&[A], 4, Wait::No).unwrap();
            worker.give_back(1, true).unwrap();
            worker.delay(1, true, later).unwrap();
            worker.begin(0);
            worker.delay(1, false, later).unwrap();
            worker.give_back_all().unwrap();
        });
        if died {
            worker.die();
            drop(worker);
            killed(n % 23, || {
                admin.release(SlotId(1), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
            });
            admin.die();
            admin = QueueAdmin::open(arena.clone()).unwrap();
            admin.release(SlotId(1), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
        }
        admin.audit().unwrap_or_else(|why| panic!("killed at store {n}: {why}"));
        let mut next = attach(&arena, &mut admin, 2);
        put(&mut next, B, &[&[4_u8; 9][..]; 6]);
        admin.audit().unwrap_or_else(|why| panic!("killed at store {n}: {why}"));
        next.take(&[A], 9, Wait::No).unwrap();
        assert!(held(&next).iter().all(|item| *item == [3; 9]), "{:?}", held(&next));
        if !died {
            assert!(n > 80, "only {n} stores");
            return;
        }
    }
}
