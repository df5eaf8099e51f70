//! A stage that sends each item to one of its outputs: into one queue, once, whenever its worker dies.

use super::*;
use crate::broker::{Commit, SharedQueue};
use crate::stage::{Emitter, Failure, Item};

const LINE: QueueId = QueueId(3);
const OTHER: QueueId = QueueId(4);

/// Even numbers to the first output, odd ones to the second, and none of what three divides.
struct Sorter;

impl Stage for Sorter {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let number: usize = item.text()?.parse()?;
        if number.is_multiple_of(3) { Ok(()) } else { out.emit_to(number % 2, item.bytes()) }
    }
}

fn bench(capacity: u64) -> Bench {
    let mut bench = Bench::new();
    bench.admin.set_queue(LINE, &limits(10_000)).unwrap();
    bench.admin.set_queue(OTHER, &limits(capacity)).unwrap();
    bench.apart = vec![(OUT.0, "even".into()), (OTHER.0, "odd".into())];
    bench
}

/// The numbers up to this one that belong into the output.
fn numbers(upto: usize, output: usize) -> Vec<String> {
    (1..=upto).filter(|n| n % 3 != 0 && n % 2 == output).map(|n| n.to_string()).collect()
}

/// Ends the queue and reads what is in it.
fn read(bench: &mut Bench, queue: QueueId) -> Vec<String> {
    bench.admin.set_ended(queue, true).unwrap();
    bench.admin.open_slot(READER, &Tuning::default()).unwrap();
    let mut queues = WorkerHandle::open(bench.arena.clone(), READER).unwrap();
    let mut seen = Vec::new();
    while queues.take(&[queue], 10, Wait::No).unwrap() != Taken::Ended {
        let text = |i| String::from_utf8(queues.item(i).unwrap().bytes.to_vec()).unwrap();
        seen.extend((0..queues.len()).map(text));
        queues.commit(queues.len(), Wait::Forever).unwrap();
    }
    seen
}

/// Lives until the end of the input, the first of which dies at store `at`; how many that died.
fn lives(bench: &mut Bench, at: u64) -> usize {
    bench.dies_at = Some(at);
    let mut deaths = 0;
    while bench.run_stage(Sorter, Persistence::Nothing) != Some(Ending::InputEnded) {
        deaths += 1;
        assert!(deaths < 5, "killed at store {at}");
    }
    deaths
}

fn input(bench: &mut Bench, upto: usize) {
    let items: Vec<String> = (1..=upto).map(|n| n.to_string()).collect();
    bench.input(&items.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn each_item_is_in_one_queue_once_whenever_the_worker_dies() {
    for at in 0.. {
        let mut bench = bench(10_000);
        input(&mut bench, 20);
        let deaths = lives(&mut bench, at);
        let seen = [read(&mut bench, OUT), read(&mut bench, OTHER)];
        assert_eq!(seen, [numbers(20, 0), numbers(20, 1)], "killed at store {at}");
        if deaths == 0 {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

#[test]
fn of_two_queues_one_may_lie_in_a_broker() {
    for at in 0.. {
        let mut bench = bench(10_000);
        bench.shared = Some(SharedQueues { line: LINE, queues: vec![(OUT, SharedQueue(7))], token: None });
        input(&mut bench, 20);
        let deaths = lives(&mut bench, at);
        let mut even = Vec::new();
        bench.admin.open_slot(READER, &Tuning::default()).unwrap();
        let mut queues = WorkerHandle::open(bench.arena.clone(), READER).unwrap();
        let note = |id, bytes: &[u8]| {
            for output in Commit::decode(id + 1, &bytes.to_vec().into()).unwrap().outputs {
                assert_eq!(output.queue, SharedQueue(7));
                even.push(String::from_utf8(output.item.to_vec()).unwrap());
            }
            true
        };
        queues.look(LINE, 0, usize::MAX, note).unwrap();
        queues.give_back_all().unwrap();
        drop(queues);
        assert_eq!([even, read(&mut bench, OTHER)], [numbers(20, 0), numbers(20, 1)], "killed at store {at}");
        if deaths == 0 {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

/// Without that, a batch whose items are all for it would end the stage, and the other queue would starve.
#[test]
fn a_queue_that_is_read_no_more_takes_its_items_with_it_and_the_others_go_on() {
    let mut bench = bench(2);
    bench.admin.set_closed(OTHER, true).unwrap();
    let odd: Vec<String> = (0..50).map(|n| (2 * n + 1).to_string()).collect();
    let items: Vec<&str> = odd.iter().map(String::as_str).chain(["4"]).collect();
    bench.input(&items);
    assert_eq!(bench.run_stage(Sorter, Persistence::Nothing), Some(Ending::InputEnded));
    assert_eq!(read(&mut bench, OUT), ["4"]);
}

#[test]
fn a_stage_none_of_whose_queues_is_read_ends_and_keeps_its_items() {
    let mut bench = bench(2);
    [OUT, OTHER].iter().for_each(|&queue| bench.admin.set_closed(queue, true).unwrap());
    bench.input(&["1", "2"]);
    assert_eq!(bench.run_stage(Sorter, Persistence::Nothing), Some(Ending::OutputClosed));
    assert_eq!(read(&mut bench, IN), ["1", "2"]);
}
