//! One producer and one consumer: first in, first out, also when they crash.

mod support;

use support::{Run, process, wait_until};

#[test]
fn one_producer_and_one_consumer_keep_the_order() {
    let mut run = Run::start(
        "[queues.a]\ncapacity = 7\n\
         [stages.number]\nuse = 'count'\nwith = { from = 1, to = 100000 }\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\n",
    );
    let expected: Vec<String> = (1..=100_000).map(|n| n.to_string()).collect();
    assert!(run.finish() == expected);
}

#[test]
fn a_killed_consumer_does_not_change_the_order_of_what_is_left() {
    let mut run = Run::start(
        "[defaults]\ngive_up = { restarts = 100000, within = '1m' }\nbackoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n\
         [queues.a]\ncapacity = 50\n\
         [stages.number]\nuse = 'count'\nwith = { from = 1, to = 60000 }\noutput = 'a'\n\
         [stages.pass]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\noutput = 'b'\nattempts = 100\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'b'\n",
    );
    let mut kills = 0;
    wait_until("the run to end", || {
        if let Some(&worker) = run.workers("pass").first() {
            kills += u32::from(process::kill(worker, 9));
        }
        std::thread::sleep(std::time::Duration::from_millis(3));
        run.child.try_wait().unwrap()
    });
    let expected: Vec<String> = (1..=60_000).map(|n| n.to_string()).collect();
    assert!(run.finish() == expected, "after {kills} kills");
    assert!(kills > 5, "only {kills} kills");
}
