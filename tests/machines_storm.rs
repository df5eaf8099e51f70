//! Storms over several machines: they die all the time, their cables are cut, slow or half open, their clocks are wrong. Each item is
//! in the files of all machines together once.

#[path = "machines/cable.rs"]
mod cable;
#[path = "machines/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "what only the tests of the broker itself use")]
#[path = "broker/server.rs"]
mod server;
mod support;

use cable::{Cable, Carries};
use cluster::{PASS, again, each_once, file, machine, power_off};
use mprun::broker::BrokerKind;
use server::{Server, on_both};
use std::fs;
use std::time::{Duration, Instant};
use support::{Run, command, wait_until};

const ALL: &str = "read,work,write";
const ACK_WAIT: Duration = Duration::from_secs(2);

fn lines(run: &Run) -> usize {
    fs::read(run.folder.path().join("out.txt"))
        .unwrap_or_default()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

fn numbers_of(machines: &[Run]) -> Vec<u32> {
    let mut all: Vec<u32> = machines.iter().flat_map(cluster::numbers).collect();
    all.sort_unstable();
    all
}

/// Instead of a diff of 200,000 numbers: which are missing, and which are there twice.
fn assert_each_once(machines: &[Run], items: u32) {
    let found = numbers_of(machines);
    let twice: Vec<u32> =
        found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).take(20).collect();
    let mut at = found.iter().copied().peekable();
    let mut is_there = |n: &u32| {
        while at.next_if(|found| found < n).is_some() {}
        at.peek() == Some(n)
    };
    let missing: Vec<u32> = each_once(items).into_iter().filter(|n| !is_there(n)).take(20).collect();
    // By machine: the lines that have them, with what is around.
    let places = |run: &Run| {
        let text = fs::read_to_string(run.folder.path().join("out.txt")).unwrap_or_default();
        let all: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        let is_twice = |line: &usize| twice.contains(&all[*line]);
        let around = |line: usize| (line, all[line.saturating_sub(3)..(line + 4).min(all.len())].to_vec());
        (0..all.len()).filter(is_twice).map(around).collect::<Vec<_>>()
    };
    let places: Vec<_> = machines.iter().map(places).collect();
    for run in machines.iter().filter(|_| !twice.is_empty()) {
        eprintln!("---- what each life of a machine said\n{}", cluster::lives(run));
    }
    assert!(
        twice.is_empty() && missing.is_empty() && found.len() == items as usize,
        "{} of {items}; twice: {twice:?}, at {places:?}; missing: {missing:?}",
        found.len()
    );
}

/// `read` works on one machine at a time; all have all stages.
fn storm(server: &Server, items: u32, more: &str) -> String {
    let work = format!("{PASS}\nattempts = 1000000\n{more}");
    file(server, items, &work, "attempts = 1000000\n")
        .replace("[stages.work]", "machines = 'one'\n[stages.work]")
        .replace("capacity = 500", "capacity = 5000")
}

fn ends(machines: &mut [Run], items: u32) {
    for run in &mut *machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_each_once(machines, items);
}

fn over_three_machines_that_die_in_turn_two_hundred_thousand_items_are_there_once(kind: BrokerKind) {
    const ITEMS: u32 = 200_000;
    const DEATHS: usize = 66;
    let server = Server::safe(kind);
    let text = storm(&server, ITEMS, "");
    let mut machines = [machine(&text, ALL), machine(&text, ALL), machine(&text, ALL)];
    let mut deaths = 0;
    for n in (0..3).cycle() {
        let aim = (deaths + 1) * ITEMS as usize / (DEATHS + 4);
        let mut is_over = false;
        wait_until("some progress", || {
            is_over = machines.iter_mut().all(|run| run.child.try_wait().unwrap().is_some());
            (is_over || machines.iter().map(lines).sum::<usize>() > aim).then_some(())
        });
        if is_over || deaths == DEATHS {
            break;
        }
        // Another place each time: a moment after the progress was seen.
        std::thread::sleep(Duration::from_micros(fastrand::u64(..20_000)));
        power_off(&mut machines[n]);
        deaths += 1;
        machines = machines.map(Some).map(|run| run.unwrap());
        let [a, b, c] = machines;
        machines = match n {
            0 => [again(a, ALL), b, c],
            1 => [a, again(b, ALL), c],
            _ => [a, b, again(c, ALL)],
        };
    }
    assert!(deaths >= 60, "only {deaths} machines have died");
    ends(&mut machines, ITEMS);
}

/// The position that a broker has names the mark of the file. A life that gave the file another one could have its first turn cut off by none.
#[test]
fn a_machine_that_comes_back_finds_the_mark_of_its_file_and_leaves_it() {
    const ITEMS: u32 = 4_000;
    let server = Server::safe(BrokerKind::Redis);
    let text = storm(&server, ITEMS, "sleep = '1ms'");
    let (mut feeds, mut writes) = (machine(&text, "read,work"), machine(&text, "write"));
    let mark = |run: &Run| {
        let mut mark = [0; 32];
        let length =
            rustix::fs::getxattr(run.folder.path().join("out.txt"), "user.mprun.writer", &mut mark).unwrap();
        String::from_utf8(mark[..length].to_vec()).unwrap()
    };
    wait_until("lines that count", || (lines(&writes) > 500).then_some(()));
    let before = mark(&writes);
    power_off(&mut writes);
    writes = again(writes, "write");
    let there = lines(&writes);
    wait_until("more lines", || (lines(&writes) > there + 100).then_some(()));
    assert_eq!(mark(&writes), before, "{}", writes.stderr());
    assert_eq!((feeds.wait(), writes.wait()), (0, 0));
    assert_each_once(&[writes], ITEMS);
}

fn a_cable_that_is_cut_slow_or_half_open_loses_and_doubles_nothing(kind: BrokerKind) {
    const ITEMS: u32 = 20_000;
    let server = Server::safe(kind);
    let text = storm(&server, ITEMS, "sleep = '3ms'");
    let cable = Cable::to(server.port);
    let far = text.replace(&format!(":{}'", server.port), &format!(":{}'", cable.port));
    assert_ne!(far, text);
    let mut machines = [machine(&far, ALL), machine(&text, ALL)];
    let mut strikes = 0;
    let over =
        |machines: &mut [Run; 2]| machines.iter_mut().any(|run| run.child.try_wait().unwrap().is_some());
    for how in [Carries::Nothing, Carries::RequestsOnly, Carries::Slowly, Carries::All].into_iter().cycle() {
        let before = lines(&machines[0]);
        wait_until("the machine behind the cable to work", || {
            (over(&mut machines) || lines(&machines[0]) > before + 20).then_some(())
        });
        if over(&mut machines) || strikes == 8 {
            break;
        }
        cable.carry(how);
        // Longer than every time limit, while the other machine goes on.
        let until = Instant::now() + ACK_WAIT * 2;
        wait_until("the time to pass", || (Instant::now() > until).then_some(()));
        if strikes % 2 == 0 {
            cable.cut();
        }
        cable.carry(Carries::All);
        strikes += 1;
    }
    assert!(strikes >= 5, "the cable was bad {strikes} times only");
    assert!(cable.opened() > 1);
    ends(&mut machines, ITEMS);
}

/// It takes longer than an answer is waited for where leases last as long as they mostly do. Over NATS it would fill a reserve, too.
#[test]
fn an_item_that_is_long_under_way_arrives_where_leases_last_long() {
    const LEN: usize = 1_150_000;
    let server = Server::safe(BrokerKind::Redis);
    let input = support::Folder::new();
    input.file("in.txt", &"x".repeat(LEN));
    let lines = format!("use = 'lines'\nwith = {{ path = '{}' }}", input.path().join("in.txt").display());
    let text = file(&server, 1, PASS, "")
        .replace("use = 'count'\nwith = { to = 1 }", &lines)
        .replace("shared = true\n", "shared = true\nmax_item = '4MiB'\n")
        .replace("ack_wait = '2s'", "ack_wait = '3m'");
    let cable = Cable::to(server.port);
    cable.carry(Carries::Slowly);
    let far = text.replace(&format!(":{}'", server.port), &format!(":{}'", cable.port));
    let (mut reads, mut ends) = (machine(&far, "read"), machine(&text, "work,write"));
    let written = || fs::metadata(ends.folder.path().join("out.txt")).map_or(0, |it| it.len());
    wait_until("the item", || (written() == LEN as u64 + 1).then_some(()));
    cable.carry(Carries::All);
    for run in [&mut reads, &mut ends] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert!(!reads.stderr().contains("can't be reached"), "{}", reads.stderr());
    assert_eq!(cable.opened(), 2, "one for requests and one for messages: {}", reads.stderr());
}

fn machines_whose_clocks_differ_by_hours_agree(kind: BrokerKind) {
    const ITEMS: u32 = 3000;
    let server = Server::safe(kind);
    let text = storm(&server, ITEMS, "sleep = '1ms'");
    let at = |offset: &str| {
        let folder = support::Folder::new();
        folder.file("pipeline.toml", &text);
        let mut run = command(&folder);
        run.args(["pipeline.toml", "--stages", ALL]);
        run.env("LD_PRELOAD", faketime()).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Run::of(folder, run)
    };
    let mut machines = [at("+1h"), at("-1h"), machine(&text, ALL)];
    // The machine with the source dies in the middle: its claim expires by the broker's clock.
    wait_until("progress", || (machines.iter().map(lines).sum::<usize>() > 500).then_some(()));
    power_off(&mut machines[0]);
    let [dead, _, _] = &mut machines;
    let folder = std::mem::replace(&mut dead.folder, support::Folder::new());
    machines[0] = Run::in_folder(folder, &["--stages", ALL]);
    ends(&mut machines, ITEMS);
    assert!(
        machines[1].stderr().starts_with(&hour_ago()),
        "the clock was not wrong: {}",
        machines[1].stderr()
    );
}

/// The library that makes a clock wrong.
fn faketime() -> String {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|arch| format!("/usr/lib/{arch}/faketime/libfaketime.so.1"));
    let found = places.into_iter().find(|place| std::path::Path::new(place).exists());
    found.expect("libfaketime: tests/run installs it")
}

/// The hour that a clock shows which is an hour late, or two where an hour has begun since.
fn hour_ago() -> String {
    let out =
        std::process::Command::new("date").args(["-u", "-d", "-1 hour", "+%Y-%m-%dT"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

on_both!(
    over_three_machines_that_die_in_turn_two_hundred_thousand_items_are_there_once,
    a_cable_that_is_cut_slow_or_half_open_loses_and_doubles_nothing,
    machines_whose_clocks_differ_by_hours_agree,
);
