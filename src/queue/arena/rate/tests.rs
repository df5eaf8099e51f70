use super::*;
use crate::model::RateUnit::{Hour, Minute, Second};
use crate::queue::{QueueAdmin, inject};
use std::panic::{AssertUnwindSafe, catch_unwind};

const SECOND: u64 = 1_000_000_000;
/// Some moment.
const NOW: u64 = 1_000 * SECOND;

fn rate(items: u32, per: crate::model::RateUnit) -> Rate {
    Rate { items, per }
}

/// A bucket under a clock of the test's own.
struct Bucket {
    arrival: u64,
    now: u64,
    rate: Rate,
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        Bucket { arrival: 0, now: NOW, rate }
    }

    /// How many of `want` may begin now.
    fn take(&mut self, want: u64) -> u64 {
        match admit(self.arrival, self.now, self.rate, want) {
            Admission::Now { items, arrival } => {
                self.arrival = arrival;
                items
            }
            Admission::At(at) => {
                assert!(at > self.now, "the next item may begin in the past");
                0
            }
        }
    }

    /// Goes on to the moment at which one more may begin.
    fn wait(&mut self) -> u64 {
        let Admission::At(at) = admit(self.arrival, self.now, self.rate, 1) else { return 0 };
        let waited = at - self.now;
        self.now = at;
        waited
    }
}

#[test]
fn a_fresh_bucket_is_empty_but_for_the_first_item() {
    let mut bucket = Bucket::new(rate(100, Second));
    assert_eq!(bucket.take(100), 1);
    assert_eq!((bucket.take(100), bucket.wait()), (0, SECOND / 100));
    assert_eq!((bucket.take(100), bucket.take(100)), (1, 0));
}

#[test]
fn after_a_rest_a_seconds_worth_may_begin_at_once_and_no_more() {
    let mut bucket = Bucket::new(rate(100, Second));
    assert_eq!(bucket.take(1), 1);
    bucket.now += 3600 * SECOND;
    assert_eq!((bucket.take(1000), bucket.take(1000)), (100, 0));
    bucket.now += SECOND / 2;
    assert_eq!(bucket.take(1000), 50);
}

#[test]
fn a_slow_rate_lets_one_begin_at_a_time() {
    for (per, seconds) in [(Minute, 60), (Hour, 3600)] {
        let mut bucket = Bucket::new(rate(1, per));
        assert_eq!((bucket.take(9), bucket.take(9), bucket.wait()), (1, 0, seconds * SECOND));
        assert_eq!((bucket.take(9), bucket.take(9)), (1, 0));
        bucket.now += 10 * seconds * SECOND;
        assert_eq!((bucket.take(9), bucket.take(9)), (1, 0));
    }
}

#[test]
fn whatever_is_asked_for_no_span_sees_more_than_the_rate_and_a_burst() {
    let mut random = fastrand::Rng::with_seed(7);
    for (items, per) in [(1, Second), (7, Second), (100, Second), (1000, Minute), (999_983, Second)] {
        let mut bucket = Bucket::new(rate(items, per));
        let (interval, burst) = spans(bucket.rate);
        let mut begun = 0;
        for _ in 0..2000 {
            begun += bucket.take(random.u64(1..20));
            match random.u8(0..4) {
                0 => drop(bucket.wait()),
                _ => bucket.now += random.u64(0..interval * 3),
            }
            assert!(begun * interval <= bucket.now - NOW + burst, "{begun} of {items}");
        }
        let span = bucket.now - NOW;
        assert!(begun > 0 && begun <= span / interval + burst / interval);
    }
}

#[test]
fn a_change_of_the_rate_holds_at_once() {
    let mut bucket = Bucket::new(rate(1, Hour));
    assert_eq!(bucket.take(1), 1);
    bucket.rate = rate(100, Second);
    assert_eq!((bucket.take(9), bucket.take(9)), (1, 0));
    bucket.now += SECOND;
    bucket.rate = rate(1, Hour);
    assert_eq!((bucket.take(5), bucket.take(5)), (1, 0));
}

#[test]
fn what_has_not_begun_goes_back() {
    let mut bucket = Bucket::new(rate(100, Second));
    bucket.take(1);
    bucket.now += SECOND;
    assert_eq!(bucket.take(30), 30);
    bucket.arrival = give_back(bucket.arrival, bucket.rate, 20);
    assert_eq!(bucket.take(1000), 90);
    assert_eq!(give_back(5, bucket.rate, u64::MAX), 1);
}

#[test]
fn a_worker_that_dies_at_the_bucket_takes_one_item_or_none() {
    let arena = Arena::create().unwrap();
    let (id, rate) = (StageId(3), rate(1000, Second));
    QueueAdmin::open(arena.clone()).unwrap().open_stage(id).unwrap();
    let word = || arena.0.load(StageAt::of(id).unwrap() + stage::RATE);
    inject::arm(0);
    assert!(catch_unwind(AssertUnwindSafe(|| arena.admit(id, rate, 1))).is_err());
    inject::arm(u64::MAX);
    assert_eq!(word(), 0);
    assert_eq!(arena.admit(id, rate, 9), Ok(1));
    assert!(word() > 0);
}

#[test]
fn workers_beside_each_other_share_one_bucket() {
    let arena = Arena::create().unwrap();
    let (id, rate) = (StageId(0), rate(1000, Second));
    QueueAdmin::open(arena.clone()).unwrap().open_stage(id).unwrap();
    let start = Instant::now();
    let begun: usize = std::thread::scope(|scope| {
        let work = || {
            let mut begun = 0;
            while start.elapsed() < Duration::from_millis(200) {
                match arena.admit(id, rate, 2) {
                    Ok(items) => begun += items,
                    Err(at) => std::thread::sleep(at.saturating_duration_since(Instant::now())),
                }
            }
            begun
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    let most = start.elapsed().as_secs_f64() * 1000.0 + 1.0;
    assert!(begun >= 20 && begun as f64 <= most, "{begun} of {most}");
}
