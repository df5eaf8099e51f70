//! In order, with a worker that is killed at every store.

use super::crash::killed;
use super::order::*;
use super::*;

/// What a victim does to a window, and how the queues stand before.
type Act = fn(&mut Bench, &mut WorkerHandle);

/// The victim, slot 1, has items 3 and 4 or 0 and 1; others have finished or hold the rest of ten.
fn scene(capacity: u64, is_first: bool) -> (Bench, WorkerHandle, Vec<WorkerHandle>) {
    let mut bench = Bench::new(10, capacity, 100);
    let (mut first, mut second) = (bench.taking(1, 2), bench.taking(2, 3));
    let (mut third, fourth) = (bench.taking(3, 2), bench.taking(4, 3));
    stage(&mut third, |id| if id == 5 { 3 } else { 0 });
    commit(&mut third);
    match is_first {
        true => {
            finish(&mut second);
            (bench, first, vec![fourth])
        }
        false => {
            first.put(&[B], b"0.0", Some(0)).unwrap();
            commit(&mut first);
            (bench, second, vec![fourth])
        }
    }
}

#[test]
fn killed_at_every_store_the_order_holds_and_each_output_comes_once() {
    let acts: [(&str, Act); 6] = [
        ("finish", |_, worker| {
            stage(worker, |_| 1);
            worker.commit(worker.len(), Wait::No).unwrap();
            worker.settle().unwrap();
        }),
        ("whole", |_, worker| {
            let items = ["a", "b", "c"].map(str::as_bytes);
            worker.commit_whole(&[B], items.into_iter(), worker.len()).unwrap();
        }),
        ("nothing", |_, worker| commit(worker)),
        ("dead letter", |_, worker| worker.dead_letter(0).unwrap()),
        ("dead with an output", |_, worker| {
            worker.mark_dead(0, "no good").unwrap();
            stage(worker, |_| 1);
            worker.commit(worker.len(), Wait::No).unwrap();
            worker.settle().unwrap();
        }),
        ("one by one", |_, worker| {
            worker.put(&[B], b"long enough for a block", Some(0)).unwrap();
            worker.commit(1, Wait::No).unwrap();
            worker.commit(1, Wait::No).unwrap();
            worker.settle().unwrap();
        }),
    ];
    let mut deaths = 0;
    for (name, act) in acts {
        for (capacity, is_first) in [(100, true), (100, false), (2, true), (2, false)] {
            for at in 0.. {
                for in_release in [None, Some(3), Some(9), Some(17)] {
                    let (mut bench, mut victim, mut others) = scene(capacity, is_first);
                    let died = killed(at, || act(&mut bench, &mut victim));
                    let story = format!(
                        "{name}, capacity {capacity}, first {is_first}, store {at}, release {in_release:?}"
                    );
                    victim.die();
                    if let Some(n) = in_release {
                        killed(n, || bench.release(1 + u16::from(!is_first)));
                        bench.admin.die();
                        bench.admin = QueueAdmin::open(bench.arena.clone()).unwrap();
                    }
                    bench.release(1 + u16::from(!is_first));
                    bench.audit();
                    others.iter_mut().for_each(finish);
                    let mut again = bench.worker(1);
                    for _ in 0..3 {
                        take(&mut again, 9);
                        finish_reading(&mut bench, &mut again, 1);
                    }
                    bench.read();
                    check(&bench.out, is_first, &story);
                    let counts = bench.admin.counts(A).unwrap();
                    assert_eq!((counts.done + counts.dead, counts.leased), (10, 0), "{story}");
                    if name.starts_with("dead") && !died {
                        assert_eq!(counts.dead, 1, "{story}");
                    }
                    deaths += u64::from(died);
                    if !died && in_release.is_some() {
                        break;
                    }
                }
                let (mut bench, mut victim, _others) = scene(capacity, is_first);
                if !killed(at, || act(&mut bench, &mut victim)) {
                    break;
                }
            }
        }
    }
    assert!(deaths > 500, "{deaths}");
}

/// All leases, though there may be no room for all.
fn finish_reading(bench: &mut Bench, worker: &mut WorkerHandle, outputs: usize) {
    stage(worker, |_| outputs);
    while !matches!(worker.commit(worker.len(), Wait::No).unwrap(), Committed::Done { .. }) {
        bench.read();
    }
    worker.settle().unwrap();
}

/// The outputs of others are there once each, at their places around the victim's, which stand together or are missing.
fn check(out: &[String], is_first: bool, story: &str) {
    let fixed = |item: &String| item.split_once('.').and_then(|(n, _)| n.parse::<usize>().ok());
    let known: Vec<usize> = out.iter().filter_map(fixed).collect();
    let is_sorted = known.windows(2).all(|pair| pair[0] <= pair[1]);
    let victims = if is_first { 0..2 } else { 2..5 };
    let others: Vec<usize> = known.iter().copied().filter(|n| !victims.contains(n)).collect();
    let expected: &[usize] = if is_first { &[2, 3, 4, 5, 5, 5, 7, 8, 9] } else { &[0, 5, 5, 5, 7, 8, 9] };
    assert!(is_sorted && others == expected, "{story}: {out:?}");
    let before = others.iter().filter(|&&n| n < victims.start).count();
    let at = |item: &String| fixed(item).is_none_or(|n| victims.contains(&n));
    let own: Vec<usize> = (0..out.len()).filter(|&i| at(&out[i])).collect();
    assert!(own.windows(2).all(|pair| pair[1] == pair[0] + 1), "{story}: {out:?}");
    assert!(own.first().is_none_or(|&first| first == before), "{story}: {out:?}");
}
