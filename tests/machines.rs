//! One file on several machines, over a real redis-server and a real nats-server: each machine is an mprun with state and runtime folders of its own.

#[path = "machines/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "what only the tests of the broker itself use")]
#[path = "broker/server.rs"]
mod server;
mod support;

use cluster::{PASS, again, each_once, file, link, lose_all, machine, numbers, power_off};
use mprun::broker::BrokerKind;
use server::{Server, on_both};
use std::fs;
use std::time::{Duration, Instant};
use support::{Folder, Run, command, process, wait_until};

fn a_batch_over_three_machines_ends_by_itself_with_each_item_once(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 3000, PASS, "");
    let mut machines = ["write", "work", "read"].map(|stage| machine(&text, stage));
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!(numbers(&machines[0]), each_once(3000));
}

fn one_machine_can_run_all_of_it(kind: BrokerKind) {
    let server = Server::safe(kind);
    let mut run = Run::start(&file(&server, 500, PASS, ""));
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(numbers(&run), each_once(500));
}

fn every_kind_of_stage_reads_and_writes_shared_queues(kind: BrokerKind) {
    for work in [
        "command = ['cat']\nmode = 'reply'\nprocesses = 2",
        "command = ['cat']",
        "command = 'cat'\nmode = 'each'\nprocesses = 2",
        "command = 'cat'\nmode = 'each'\nbatch = 20",
        "command = 'while read -r n; do echo \"$n\"; echo; done'\nmode = 'reply'\nreply = 'until-empty'",
    ] {
        let server = Server::safe(kind);
        let text = file(&server, 300, work, "");
        let mut machines = ["read,write", "work"].map(|stages| machine(&text, stages));
        for run in &mut machines {
            assert_eq!(run.wait(), 0, "{work}: {}", run.stderr());
        }
        assert_eq!(numbers(&machines[0]), each_once(300), "{work}");
    }
}

/// Its input queue has ended before its last output comes.
fn what_a_program_prints_behind_the_end_of_its_input_is_there(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 300, "command = ['sh', '-c', 'sort -n; sleep 1.2; echo 301']", "");
    let mut machines = ["read,write", "work"].map(|stages| machine(&text, stages));
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        assert!(!run.stderr().contains("refused"), "{}", run.stderr());
    }
    assert_eq!(numbers(&machines[0]), each_once(301));
}

/// As such a program may still print, the run waits for its machine: until that is back, or has left.
fn a_machine_with_such_a_program_that_comes_back_or_leaves_holds_up_no_end(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text =
        file(&server, 400, "command = ['sh', '-c', 'while read -r n; do sleep 0.01; echo $n; done']", "");
    let mut first = machine(&text, "read,write");
    let (mut dies, mut leaves) = (machine(&text, "work"), machine(&text, "work"));
    wait_until("some items", || (numbers(&first).len() > 50).then_some(()));
    power_off(&mut dies);
    let mut back = again(dies, "work");
    leaves.signal(libc::SIGTERM);
    for run in [&mut leaves, &mut back, &mut first] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
}

fn each_item_goes_into_one_shared_queue_once_though_the_workers_between_are_killed(kind: BrokerKind) {
    let server = Server::safe(kind);
    let queues =
        ["items", "thirds", "others"].map(|name| format!("[queues.{name}]\nshared = true\n")).concat();
    let text = format!(
        "drain_timeout = '20s'\n[broker]\nurl = '{}'\nack_wait = '2s'\n{queues}\
         [stages.read]\nuse = 'count'\nwith = {{ to = 3000 }}\noutput = 'items'\n\
         [stages.sort]\nuse = 'route'\ninput = 'items'\nprocesses = 2\nattempts = 100\n\
         backoff = {{ initial = '1ms', max = '5ms' }}\ngive_up = {{ restarts = 1000, within = '1m' }}\n\
         routes = [{{ when = 'item % 3 == 0', to = 'thirds' }}, {{ to = 'others' }}]\n\
         [stages.thirds]\nuse = 'file'\nwith = {{ path = 'out.txt' }}\ninput = 'thirds'\n\
         [stages.others]\nuse = 'file'\nwith = {{ path = 'out.txt' }}\ninput = 'others'\n",
        server.url()
    );
    let mut machines = ["thirds", "others", "sort", "read"].map(|stages| machine(&text, stages));
    for _ in 0..5 {
        let victim = machines[2].worker("sort");
        process::kill(victim, libc::SIGKILL);
        wait_until("its end", || (!process::is_alive(victim)).then_some(()));
    }
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    let (thirds, others): (Vec<u32>, Vec<u32>) = (1..=3000).partition(|n| n % 3 == 0);
    assert_eq!([numbers(&machines[0]), numbers(&machines[1])], [thirds, others]);
}

fn a_run_that_has_ended_is_not_run_again_unless_that_is_asked_for(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 100, PASS, "");
    let mut first = Run::start(&text);
    assert_eq!(first.wait(), 0, "{}", first.stderr());
    let mut second = Run::start(&text);
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    assert!(second.stderr().contains("the run of the shared queues has ended, at 20"), "{}", second.stderr());
    assert!(numbers(&second).is_empty());
    let mut third = Run::start_with(&text, &["--new-run"]);
    assert_eq!(third.wait(), 0, "{}", third.stderr());
    assert_eq!(numbers(&third), each_once(100));
}

/// Two machines of two runs: neither a link nor a broker that dies begins another run, or takes a machine into the other one.
fn a_machine_stays_in_the_run_that_it_has_begun_or_joined(kind: BrokerKind) {
    let mut server = Server::safe(kind);
    let text = file(&server, 600, PASS, "sleep = '5ms'\n");
    let mut first = Run::start(&text);
    wait_until("its lines", || (numbers(&first).len() > 5).then_some(()));
    let mut second = Run::start_with(&text, &["--new-run"]);
    wait_until("lines of the other run", || (numbers(&second).len() > 5).then_some(()));
    assert!(
        second.stderr().contains("run 1 has not ended: `mprun run FILE --run 1` joins it"),
        "{}",
        second.stderr()
    );
    for run in [&first, &second] {
        let link = wait_until("its link", || link(run));
        process::kill(link, libc::SIGKILL);
    }
    for run in [&first, &second] {
        let before = numbers(run).len();
        wait_until("more lines", || (numbers(run).len() > before + 40).then_some(()));
    }
    server.kill();
    server.start_again();
    assert_eq!([first.wait(), second.wait()], [0, 0], "{}{}", first.stderr(), second.stderr());
    for run in [&first, &second] {
        assert_eq!(numbers(run), each_once(600));
        assert!(!run.stderr().contains("that it had acknowledged"), "{}", run.stderr());
    }
    let held = first.ask(&["shared", "list", &server.url(), "--json"]);
    assert!(
        held.stdout.contains("\"number\": 2") && !held.stdout.contains("\"number\": 3"),
        "{}",
        held.stdout
    );
}

/// Another run has been begun meanwhile: the dead machine's own run needs it.
fn a_machine_that_dies_comes_back_to_its_run(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 1500, &format!("{PASS}\nsleep = '5ms'"), "");
    let [mut writes, mut works] = ["read,write", "work"].map(|stages| machine(&text, stages));
    wait_until("its lines", || (numbers(&writes).len() > 20).then_some(()));
    let mut other = Run::start_with(&text, &["--new-run"]);
    wait_until("lines of the other run", || (numbers(&other).len() > 5).then_some(()));
    for _ in 0..2 {
        power_off(&mut works);
        works = again(works, "work");
        works.wait_for_log("run 2 has not ended: `mprun run FILE --run 2` joins it");
    }
    power_off(&mut writes);
    writes = again(writes, "read,write");
    for run in [&mut writes, &mut works, &mut other] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!((numbers(&writes), numbers(&other)), (each_once(1500), each_once(1500)));
}

/// Another run was begun before it had ended: its items are still to be had.
fn a_run_that_was_left_is_gone_on_with_by_its_number(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 300, PASS, "");
    let mut reads = machine(&text, "read");
    wait_until("its items", || {
        reads.ask(&["shared", "list", &server.url()]).stdout.contains(" 300 ").then_some(())
    });
    assert_eq!(reads.wait(), 0, "{}", reads.stderr());
    let mut other = Run::start_with(&text, &["--new-run"]);
    assert_eq!(other.wait(), 0, "{}", other.stderr());
    let mut none = Run::start_with(&text, &["--run", "7"]);
    assert_eq!(none.wait(), 2, "{}", none.stderr());
    assert!(none.stderr().contains("it holds no run 7"), "{}", none.stderr());
    let mut left = Run::start_with(&text, &["--run", "1", "--stages", "work,write"]);
    assert_eq!(left.wait(), 0, "{}", left.stderr());
    assert_eq!(numbers(&left), each_once(300));
}

/// A commit of a source is a small part of the queue.
fn a_small_queue_holds_no_more_than_its_capacity(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 400, PASS, "").replace("capacity = 500", "capacity = 5");
    let mut reads = machine(&text, "read");
    wait_until("items", || (items_held(&reads, &server) >= 5).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(items_held(&reads, &server), 5);
    let mut rest = machine(&text, "work,write");
    assert_eq!([reads.wait(), rest.wait()], [0, 0]);
    assert_eq!(numbers(&rest), each_once(400));
}

fn items_held(run: &Run, server: &Server) -> u64 {
    let said = run.ask(&["shared", "list", &server.url(), "--json"]).stdout;
    let held: serde_json::Value = serde_json::from_str(&said).unwrap();
    held[0]["runs"][0]["items"].as_u64().unwrap_or(0)
}

/// Its items are another's by then, and what it had written of them counts no more.
fn a_machine_that_comes_back_after_the_end_of_the_run_cuts_what_does_not_count(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 300, PASS, "sleep = '50ms'\n");
    let (mut stays, mut dies) = (machine(&text, "read,work,write"), machine(&text, "write"));
    wait_until("its lines", || (numbers(&dies).len() > 5).then_some(()));
    // Without its link it writes the item that it has, and the broker does not know of that.
    let link = wait_until("its link", || link(&dies));
    process::kill(link, libc::SIGSTOP);
    let before = numbers(&dies).len();
    wait_until("lines that don't count", || (numbers(&dies).len() > before).then_some(()));
    power_off(&mut dies);
    assert_eq!(stays.wait(), 0, "{}", stays.stderr());
    let mut back = again(dies, "write");
    assert_eq!(back.wait(), 0, "{}", back.stderr());
    let mut all = [numbers(&stays), numbers(&back)].concat();
    all.sort_unstable();
    let doubled: Vec<u32> = all.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    all.dedup();
    assert!(all == each_once(300) && doubled.is_empty(), "{doubled:?}: {}", back.stderr());
}

/// A link that is stopped is told of; one that is stopped with the lock of the queues is killed, and another one goes on.
fn a_link_that_is_stopped_holds_up_no_worker_for_good(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 4000, &format!("{PASS}\nsleep = '1ms'\nattempts = 1000000"), "");
    let mut run = machine(&text, "read,work,write");
    let reports = |run: &Run| run.stderr().matches("was stopped by a signal").count();
    let mut stops = 0;
    while stops < 25 && run.child.try_wait().unwrap().is_none() {
        let (before, seen) = (numbers(&run).len(), reports(&run));
        let stopped = link(&run).filter(|&pid| process::kill(pid, libc::SIGSTOP));
        let Some(pid) = stopped else { continue };
        wait_until("word of it", || {
            let is_over = run.child.try_wait().unwrap().is_some();
            (is_over || reports(&run) > seen || !process::is_alive(pid)).then_some(())
        });
        process::kill(pid, libc::SIGCONT);
        stops += 1;
        wait_until("some progress", || {
            let is_over = run.child.try_wait().unwrap().is_some();
            (is_over || numbers(&run).len() > before).then_some(())
        });
    }
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(numbers(&run), each_once(4000), "{}", run.stderr());
    assert!(stops >= 10, "{stops} stops");
}

fn killed_links_workers_and_machines_lose_and_double_nothing(kind: BrokerKind) {
    const ITEMS: u32 = 4000;
    let server = Server::safe(kind);
    let text = file(&server, ITEMS, &format!("{PASS}\nsleep = '1ms'\nattempts = 1000000"), "");
    let mut ends = machine(&text, "read,write");
    let mut workers = machine(&text, "work");
    let (mut links, mut others, mut machines) = (0, 0, 0);
    for round in 0.. {
        if ends.child.try_wait().unwrap().is_some() {
            break;
        }
        match round % 5 {
            0 | 1 => links += link(&ends).map_or(0, |pid| u32::from(process::kill(pid, 9))),
            2 => links += link(&workers).map_or(0, |pid| u32::from(process::kill(pid, 9))),
            3 => others += workers.workers("work").first().map_or(0, |&pid| u32::from(process::kill(pid, 9))),
            _ if workers.child.try_wait().unwrap().is_none() => {
                workers.signal(9);
                workers.wait();
                machines += 1;
                workers = again(workers, "work");
            }
            _ => {}
        }
        let size = numbers(&ends).len();
        wait_until("some progress", || {
            let is_over = ends.child.try_wait().unwrap().is_some();
            (is_over || numbers(&ends).len() > size + 40).then_some(())
        });
    }
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    assert_eq!(numbers(&ends), each_once(ITEMS), "{}", ends.stderr());
    assert!(
        links >= 10 && others >= 3 && machines >= 3,
        "{links} links, {others} workers, {machines} machines"
    );
    assert_eq!(workers.wait(), 0, "{}", workers.stderr());
}

fn a_server_that_is_away_is_waited_for_at_the_start_and_later(kind: BrokerKind) {
    let mut server = Server::safe(kind);
    let text = file(&server, 2000, &format!("{PASS}\nsleep = '1ms'"), "");
    server.kill();
    let mut run = Run::start(&text);
    run.wait_for_log("the broker can't be reached");
    server.start_again();
    run.wait_for_log("the broker is there again");
    wait_until("some items", || (numbers(&run).len() > 100).then_some(()));
    server.kill();
    wait_until("the outage", || (run.stderr().matches("can't be reached").count() > 1).then_some(()));
    server.start_again();
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(numbers(&run), each_once(2000));
}

fn a_machine_whose_broker_is_away_says_that_its_stages_wait_and_stops_at_once(kind: BrokerKind) {
    let mut server = Server::safe(kind);
    let text = file(&server, 2000, PASS, "");
    server.kill();
    let mut run = Run::start(&text);
    run.wait_for_log("2 stages wait for the broker");
    let status = run.ask(&["status"]);
    assert!(status.stdout.contains("waiting") && !status.stdout.contains("elsewhere"), "{}", status.stdout);
    let began = Instant::now();
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    // A drain would take 30 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}: {}", began.elapsed(), run.stderr());
}

fn what_a_machine_has_not_begun_goes_back_at_once_when_it_stops(kind: BrokerKind) {
    let server = Server::safe(kind);
    // Leases last longer than the test would wait for them.
    let work = format!("{PASS}\nsleep = '20ms'");
    let text = file(&server, 300, &work, "").replace("ack_wait = '2s'", "ack_wait = '10m'");
    let mut ends = machine(&text, "read,write");
    let mut leaves = machine(&text, "work");
    wait_until("some items", || (numbers(&ends).len() > 20).then_some(()));
    leaves.signal(libc::SIGTERM);
    assert_eq!(leaves.wait(), 0, "{}", leaves.stderr());
    let mut stays = machine(&text, "work");
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    assert_eq!(stays.wait(), 0, "{}", stays.stderr());
    assert_eq!(numbers(&ends), each_once(300));
}

fn a_machine_that_comes_back_to_a_run_adds_to_its_file(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = file(&server, 300, &format!("{PASS}\nsleep = '10ms'"), "");
    let mut ends = machine(&text, "read,work");
    let mut writes = machine(&text, "write");
    wait_until("some lines", || (numbers(&writes).len() > 20).then_some(()));
    writes.signal(libc::SIGTERM);
    assert_eq!(writes.wait(), 0, "{}", writes.stderr());
    let mut back = command(&writes.folder);
    back.args(["run", "pipeline.toml", "--stages", "write"]);
    let back = back.output().unwrap();
    assert!(back.status.success());
    let log = String::from_utf8_lossy(&back.stderr);
    assert!(log.contains("adds to `") && !log.contains("was emptied"), "{log}");
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    assert_eq!(numbers(&writes), each_once(300));
}

fn a_broker_that_does_not_take_the_pipeline_is_a_fault_at_the_start(kind: BrokerKind) {
    let (server, why) = match kind {
        BrokerKind::Redis => (Server::start(&[]), "append-only file"),
        BrokerKind::Nats => (Server::nats(&[], ""), "JetStream is not enabled"),
    };
    let mut run = Run::start(&file(&server, 10, PASS, ""));
    assert_eq!(run.wait(), 2, "{}", run.stderr());
    assert!(run.stderr().contains(why), "{}", run.stderr());
    assert!(numbers(&run).is_empty());
}

fn items_that_fail_for_good_are_dead_letters_of_the_broker(kind: BrokerKind) {
    let server = Server::safe(kind);
    let work =
        "command = 'test \"$1\" != 7 && echo \"$1\"'\nmode = 'each'\nattempts = 2\nretry = { delay = '1ms' }";
    let mut run = Run::start(&file(&server, 20, work, ""));
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(numbers(&run), (1..=20).filter(|n| *n != 7).collect::<Vec<_>>());
}

/// A machine that has only bad ones gets others, which tell that they are to blame.
fn bad_items_among_good_ones_are_dead_letters_on_each_machine(kind: BrokerKind) {
    let server = Server::safe(kind);
    let work = "command = 'sleep 0.02; case $1 in *7) exit 1;; esac; echo $1'\nmode = 'each'\nattempts = 1";
    let text = file(&server, 300, work, "").replace("capacity = 500", "capacity = 20");
    let mut machines = [machine(&text, "read,work,write"), machine(&text, "work"), machine(&text, "work")];
    let ends = machines.each_mut().map(|run| run.wait());
    assert!(ends.contains(&3) && ends.iter().all(|end| [0, 3].contains(end)), "{ends:?}");
    let good: Vec<u32> = (1..=300).filter(|n| n % 10 != 7).collect();
    assert!(numbers(&machines[0]) == good, "{} lines", numbers(&machines[0]).len());
}

/// Its source had ended: it goes on from where the broker has it, and what the broker has lost is told.
fn a_broker_that_loses_what_it_had_gets_it_once_more(kind: BrokerKind) {
    let mut server = Server::safe(kind);
    let text = file(&server, 400, PASS, "sleep = '30ms'\n");
    let text = text.replace("[stages.work]", "machines = 'one'\n[stages.work]");
    let mut run = machine(&text, "read,work,write");
    wait_until("some lines", || (numbers(&run).len() > 50).then_some(()));
    wait_until("the end of the source", || {
        run.ask(&["status", "pipeline.toml"]).stdout.contains("read   finished").then_some(())
    });
    server.kill();
    lose_all(&server);
    server.start_again();
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    let mut all = numbers(&run);
    all.dedup();
    assert!(all == each_once(400), "{} lines", all.len());
    assert!(run.stderr().contains("that it had acknowledged"), "{}", run.stderr());
}

/// On storage that machines share, the first of them empties a file; whoever joins adds to it.
fn a_machine_that_joins_later_adds_to_the_file_of_the_run(kind: BrokerKind) {
    let server = Server::safe(kind);
    let storage = Folder::new();
    let path = storage.file("all.txt", "0\n");
    let text = file(&server, 1000, PASS, "sleep = '10ms'\n").replace("out.txt", path.to_str().unwrap());
    let written =
        || fs::read_to_string(&path).unwrap().lines().map(|line| line.parse().unwrap()).collect::<Vec<u32>>();
    let mut first = machine(&text, "read,work,write");
    wait_until("some lines", || (written().len() > 20).then_some(()));
    let mut second = machine(&text, "write");
    assert_eq!([first.wait(), second.wait()], [0, 0], "{}{}", first.stderr(), second.stderr());
    assert!(second.stderr().contains("another machine of this run has begun with it"), "{}", second.stderr());
    let mut all = written();
    all.sort_unstable();
    assert!(all == each_once(1000), "{} lines", all.len());
    let mut next = Run::start_with(&text, &["--stages", "read,work,write", "--new-run"]);
    assert_eq!(next.wait(), 0, "{}", next.stderr());
    assert_eq!(written().len(), 1000, "a new run empties it");
}

/// With each of them nothing else is left, on its machine or anywhere.
fn the_last_items_fail_for_good_as_well_on_each_machine(kind: BrokerKind) {
    let server = Server::safe(kind);
    let work = "command = 'test \"$1\" -le 17 && echo \"$1\" || { sleep 0.5; exit 1; }'\nmode = 'each'\nattempts = 2\n\
                retry = { delay = '1ms' }";
    let text = file(&server, 20, work, "");
    let mut machines = [machine(&text, "read,work,write"), machine(&text, "work")];
    let ends = machines.each_mut().map(|run| run.wait());
    assert!(ends.contains(&3) && ends.iter().all(|end| [0, 3].contains(end)), "{ends:?}");
    assert_eq!(numbers(&machines[0]), each_once(17));
}

on_both!(
    a_machine_stays_in_the_run_that_it_has_begun_or_joined,
    a_machine_that_dies_comes_back_to_its_run,
    a_run_that_was_left_is_gone_on_with_by_its_number,
    a_small_queue_holds_no_more_than_its_capacity,
    a_batch_over_three_machines_ends_by_itself_with_each_item_once,
    one_machine_can_run_all_of_it,
    every_kind_of_stage_reads_and_writes_shared_queues,
    what_a_program_prints_behind_the_end_of_its_input_is_there,
    a_machine_with_such_a_program_that_comes_back_or_leaves_holds_up_no_end,
    each_item_goes_into_one_shared_queue_once_though_the_workers_between_are_killed,
    a_run_that_has_ended_is_not_run_again_unless_that_is_asked_for,
    a_machine_that_comes_back_after_the_end_of_the_run_cuts_what_does_not_count,
    a_link_that_is_stopped_holds_up_no_worker_for_good,
    killed_links_workers_and_machines_lose_and_double_nothing,
    a_server_that_is_away_is_waited_for_at_the_start_and_later,
    a_machine_whose_broker_is_away_says_that_its_stages_wait_and_stops_at_once,
    what_a_machine_has_not_begun_goes_back_at_once_when_it_stops,
    a_machine_that_comes_back_to_a_run_adds_to_its_file,
    a_broker_that_does_not_take_the_pipeline_is_a_fault_at_the_start,
    items_that_fail_for_good_are_dead_letters_of_the_broker,
    bad_items_among_good_ones_are_dead_letters_on_each_machine,
    a_broker_that_loses_what_it_had_gets_it_once_more,
    a_machine_that_joins_later_adds_to_the_file_of_the_run,
    the_last_items_fail_for_good_as_well_on_each_machine,
);
