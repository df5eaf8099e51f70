//! Machines whose broker, a nats-server, has a small store: it is full before anything is taken out of it.

use super::cluster::{PASS, again, each_once, file, machine, numbers, power_off};
use super::server::Server;
use super::support::{Folder, Run, wait_until};
use serde_json::Value;
use std::fmt::Write;

/// Bytes in the store of the server.
fn used(server: &Server) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let answer = client.request("$JS.API.INFO", "".into()).await.unwrap();
        serde_json::from_slice::<Value>(&answer.payload).unwrap()["storage"].as_u64().unwrap()
    })
}

/// The source has filled it, and waits for room. Its size moves on: each machine that waits tries again, and snapshots come and go.
fn is_full(server: &Server, size: u64, reads: &Run) {
    reads.wait_for_log("is full: what the stage read has for jobs waits");
    wait_until("a full store", || (used(server) > size / 2).then_some(()));
}

/// A source of lines of that length, for far more than the store holds; all die in the middle, the server as well.
fn ends_by_itself_with_each_item_once(mebibytes: u64, items: u32, len: usize) {
    let mut server = Server::nats(&["-js"], &format!("jetstream {{ max_file_store: {mebibytes}MB }}"));
    let mut lines = String::new();
    (1..=items).for_each(|n| writeln!(lines, "{n:0len$}").unwrap());
    let input = Folder::new();
    input.file("in.txt", &lines);
    let path = input.path().join("in.txt");
    let text = file(&server, 0, PASS, "")
        .replace(
            "use = 'count'\nwith = { to = 0 }",
            &format!("use = 'lines'\nwith = {{ path = '{}' }}", path.display()),
        )
        .replace("capacity = 500\n", "capacity = 1000000\n");
    let mut reads = machine(&text, "read");
    is_full(&server, mebibytes << 20, &reads);
    let mut works = machine(&text, "work");
    let mut writes = machine(&text, "write");
    let some = |part: u32, writes: &_| {
        wait_until("some lines", || (numbers(writes).len() as u32 > items / 10 * part).then_some(()));
    };
    some(1, &writes);
    power_off(&mut works);
    works = again(works, "work");
    some(2, &writes);
    server.kill();
    server.start_again();
    some(3, &writes);
    power_off(&mut reads);
    reads = again(reads, "read");
    some(4, &writes);
    power_off(&mut writes);
    writes = again(writes, "write");
    for run in [&mut reads, &mut works, &mut writes] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!(numbers(&writes), each_once(items), "{}", writes.stderr());
}

#[test]
fn a_store_of_3_mib_that_a_source_has_filled_with_long_items() {
    ends_by_itself_with_each_item_once(3, 5000, 1000);
}

#[test]
fn a_store_of_3_mib_that_a_source_has_filled_with_short_items() {
    ends_by_itself_with_each_item_once(3, 40_000, 1);
}

#[test]
fn a_store_of_16_mib_that_a_source_has_filled() {
    ends_by_itself_with_each_item_once(16, 100_000, 100);
}
