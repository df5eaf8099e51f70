//! One producer and one consumer: first in, first out, also when they crash.

mod support;

use std::process::Stdio;
use support::storm::storm;
use support::{Folder, Run, command};

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
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[defaults]\ngive_up = { restarts = 100000, within = '1m' }\nbackoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n\
         [queues.a]\ncapacity = 50\n\
         [stages.number]\nuse = 'stdin'\noutput = 'a'\n\
         [stages.pass]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\noutput = 'b'\nattempts = 1000\n\
         retry = { delay = '0s' }\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'b'\n",
    );
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let kills = storm(&mut run, "pass", 20, |part| {
        (part * 3000 + 1..=(part + 1) * 3000).flat_map(|n| format!("{n}\n").into_bytes()).collect()
    });
    let expected: Vec<String> = (1..=60_000).map(|n| n.to_string()).collect();
    assert!(run.finish() == expected, "after {kills} kills");
}
