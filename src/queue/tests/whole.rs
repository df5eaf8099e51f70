//! Full tables: everything a worker may hold at once, and publishing all of it or nothing.

use super::*;

/// Longer than what travels in a descriptor.
fn items(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("a hundred bytes and more {i:75}").into_bytes()).collect()
}

fn fill(arena: &Arena, admin: &mut QueueAdmin, n: usize) {
    let mut writer = attach(arena, admin, 0);
    put(&mut writer, A, &items(n).iter().map(Vec::as_slice).collect::<Vec<_>>());
    writer.settle().unwrap();
}

fn whole(worker: &mut WorkerHandle, items: &[Vec<u8>], upto: usize) -> Option<Committed> {
    worker.commit_whole(&[B], items.iter().map(Vec::as_slice), upto).unwrap()
}

#[test]
fn as_many_outputs_as_leases_go_out_in_one_step() {
    let (arena, mut admin) = arena(2000);
    fill(&arena, &mut admin, MAX_BATCH);
    let mut worker = attach(&arena, &mut admin, 1);
    // Blocks that it has reserved for others like these, and that are of no use now.
    put(&mut worker, B, &[&[b'x'; 300][..]; 100]);
    assert!(matches!(worker.take(&[A], 1000, Wait::No).unwrap(), Taken::Items { .. }));
    assert_eq!(worker.len(), MAX_BATCH);
    let done = whole(&mut worker, &items(MAX_BATCH), MAX_BATCH);
    assert_eq!(done, Some(Committed::Done { before: 100, after: 100 + MAX_BATCH as u64 }));
    worker.settle().unwrap();
    admin.audit().unwrap();
    assert_eq!(admin.counts(A).unwrap().done, MAX_BATCH as u64);
    assert_eq!(admin.counts(B).unwrap().waiting, 100 + MAX_BATCH as u64);
}

#[test]
fn what_does_not_fit_as_a_whole_leaves_no_trace() {
    let (arena, mut admin) = arena(2000);
    fill(&arena, &mut admin, 500);
    let mut worker = attach(&arena, &mut admin, 1);
    worker.take(&[A], 500, Wait::No).unwrap();
    admin.set_queue(B, &limits(499)).unwrap();
    assert_eq!(whole(&mut worker, &items(500), 500), None);
    admin.set_queue(B, &Limits { max_bytes: 30_000, ..limits(500) }).unwrap();
    assert_eq!(whole(&mut worker, &items(500), 500), None);
    assert_eq!((worker.len(), admin.counts(B).unwrap().put), (500, 0));
    admin.set_queue(B, &limits(500)).unwrap();
    assert!(whole(&mut worker, &items(500), 500).is_some());
    worker.settle().unwrap();
    admin.audit().unwrap();
    assert_eq!((worker.len(), admin.counts(A).unwrap().done), (0, 500));
}

#[test]
fn a_worker_may_hold_nearly_its_whole_table_and_put_one_item_for_all() {
    let (arena, mut admin) = arena(2000);
    fill(&arena, &mut admin, 1500);
    let mut worker = attach(&arena, &mut admin, 1);
    put(&mut worker, B, &[&[b'x'; 300][..]; 100]); // leaves reserved blocks behind
    worker.set_max_leases(1000);
    while worker.len() < 1000 {
        assert!(matches!(worker.take(&[A], 1000 - worker.len(), Wait::No).unwrap(), Taken::Items { .. }));
    }
    assert_eq!(whole(&mut worker, &items(1000), 1000), None, "more than the rest of the table");
    worker.put(&[B], &items(1000).concat(), Some(999)).unwrap();
    assert!(matches!(worker.commit(1000, Wait::No).unwrap(), Committed::Done { .. }));
    assert!(worker.is_empty());
    worker.take(&[A], 1000, Wait::No).unwrap();
    assert_eq!(held(&worker), items(1500)[1000..]);
    worker.give_back_all().unwrap();
    admin.audit().unwrap();
    let counts = admin.counts(A).unwrap();
    assert_eq!((counts.done, counts.waiting, counts.leased), (1000, 500, 0));
}
