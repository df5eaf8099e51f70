//! Machines of a test: each is an mprun with state and runtime folders of its own.

#![allow(dead_code, reason = "each test file uses a part")]

use super::server::Server;
use super::support::{Folder, Run, process, wait_until};
use std::fs;

/// A machine that runs these stages of a file.
pub fn machine(text: &str, stages: &str) -> Run {
    Run::start_with(text, &["--stages", stages])
}

/// Has what earlier lives of a machine said.
const LIVES: &str = "lives.err";

/// What each life of a machine said.
pub fn lives(run: &Run) -> String {
    fs::read_to_string(run.folder.path().join(LIVES)).unwrap_or_default() + &run.stderr()
}

/// The same machine again, after its end.
pub fn again(mut run: Run, stages: &str) -> Run {
    let said = lives(&run);
    let folder = std::mem::replace(&mut run.folder, Folder::new());
    drop(run);
    fs::write(folder.path().join(LIVES), said).unwrap();
    Run::in_folder(folder, &["--stages", stages])
}

/// All processes of a machine die, and are gone: a power cut leaves none that the kernel is still busy with.
pub fn power_off(run: &mut Run) {
    run.signal(9);
    let folder = run.folder.path().to_owned();
    while let Some(&pid) = process::in_folder(&folder).first() {
        process::kill(pid, 9);
        wait_until("its end", || (!process::is_alive(pid)).then_some(()));
    }
    run.wait();
}

/// A server that is not running has lost all that it had.
pub fn lose_all(server: &Server) {
    let (of_nats, of_redis) = (server.store(), server.store().with_file_name("appendonlydir"));
    fs::remove_dir_all(if of_nats.exists() { of_nats } else { of_redis }).unwrap();
}

/// `read` counts, the stages between pass items on, `write` puts them into a file of its machine.
pub fn file(server: &Server, items: u32, work: &str, more: &str) -> String {
    format!(
        "drain_timeout = '20s'\n[broker]\nurl = '{}'\nack_wait = '2s'\n[queues.jobs]\nshared = true\n\
         capacity = 500\n[queues.done]\nshared = true\n[stages.read]\nuse = 'count'\nwith = {{ to = {items} }}\n\
         output = 'jobs'\n[stages.work]\n{work}\ninput = 'jobs'\noutput = 'done'\n[stages.write]\nuse = 'file'\n\
         with = {{ path = 'out.txt' }}\ninput = 'done'\n{more}",
        server.url()
    )
}

pub const PASS: &str = "use = 'format'\nwith = { template = '{item}' }\nprocesses = 2";

pub fn numbers(run: &Run) -> Vec<u32> {
    let text = fs::read_to_string(run.folder.path().join("out.txt")).unwrap_or_default();
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

pub fn each_once(items: u32) -> Vec<u32> {
    (1..=items).collect()
}

/// The process that speaks with the broker.
pub fn link(run: &Run) -> Option<u32> {
    let mut children = process::in_folder(run.folder.path()).into_iter();
    children
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "mprun:link\n"))
}
