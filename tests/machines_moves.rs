//! Stages whose positions lie in the broker: on a machine that dies and comes back, and from one machine to another.

#[path = "machines/cluster.rs"]
mod cluster;
#[path = "machines/full.rs"]
mod full;
#[allow(dead_code, reason = "what only the tests of the broker itself use")]
#[path = "broker/server.rs"]
mod server;
mod support;

use cluster::{PASS, again, each_once, file, machine, numbers, power_off};
use mprun::broker::BrokerKind;
use server::{Server, on_both};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::{Run, wait_until};

const ALL: &str = "read,work,write";

/// What all machines have written, in order.
fn numbers_of(machines: &[&Run]) -> Vec<u32> {
    let mut all: Vec<u32> = machines.iter().flat_map(|run| numbers(run)).collect();
    all.sort_unstable();
    all
}

/// As `status` has it, once it answers.
fn state_of_read(run: &Run) -> Option<String> {
    let said = run.ask(&["status", "pipeline.toml"]).stdout;
    let line = said.lines().find(|line| line.starts_with("read"))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

/// `read` works on one machine at a time.
fn moving(server: &Server, items: u32, work: &str) -> String {
    file(server, items, work, "").replace("[stages.work]", "machines = 'one'\n[stages.work]")
}

fn a_machine_that_dies_and_comes_back_goes_on_with_its_source_and_its_file(kind: BrokerKind) {
    const ITEMS: u32 = 3000;
    let server = Server::safe(kind);
    let text = file(&server, ITEMS, &format!("{PASS}\nsleep = '1ms'\nattempts = 1000000"), "");
    let mut run = machine(&text, ALL);
    let mut deaths = 0;
    while deaths < 12 {
        let before = numbers(&run).len();
        wait_until("some progress", || {
            let is_over = run.child.try_wait().unwrap().is_some();
            (is_over || numbers(&run).len() > before + 20).then_some(())
        });
        if run.child.try_wait().unwrap().is_some() {
            break;
        }
        power_off(&mut run);
        deaths += 1;
        run = again(run, ALL);
    }
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(numbers(&run), each_once(ITEMS), "{}", run.stderr());
    assert_eq!(deaths, 12);
}

fn a_source_goes_on_on_another_machine_when_its_own_is_gone(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = moving(&server, 2000, &format!("{PASS}\nsleep = '6ms'"));
    let mut first = machine(&text, "read");
    wait_until("its claim", || {
        // On a slow machine all is emitted before it is looked at: it waits for room in the queue then.
        matches!(state_of_read(&first)?.as_str(), "running" | "finished").then_some(())
    });
    let mut second = machine(&text, ALL);
    wait_until("the second", || (numbers(&second).len() > 20).then_some(()));
    assert_eq!(state_of_read(&second).as_deref(), Some("elsewhere"));
    power_off(&mut first);
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    assert_eq!(numbers(&second), each_once(2000), "{}", second.stderr());
}

fn a_machine_that_stops_hands_its_source_over_at_once(kind: BrokerKind) {
    let server = Server::safe(kind);
    // A claim lasts longer than the test would wait for it.
    let text = moving(&server, 1500, &format!("{PASS}\nsleep = '2ms'"))
        .replace("ack_wait = '2s'", "ack_wait = '10m'");
    let mut first = machine(&text, "read");
    wait_until("its claim", || {
        // On a slow machine all is emitted before it is looked at: it waits for room in the queue then.
        matches!(state_of_read(&first)?.as_str(), "running" | "finished").then_some(())
    });
    let mut second = machine(&text, ALL);
    wait_until("the second", || (numbers(&second).len() > 20).then_some(()));
    first.signal(libc::SIGTERM);
    assert_eq!(first.wait(), 0, "{}", first.stderr());
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    assert_eq!(numbers(&second), each_once(1500), "{}", second.stderr());
    assert!(!second.stderr().contains("refuses commits"), "{}", second.stderr());
}

fn one_that_is_stopped_by_hand_is_anothers_until_it_is_free_again(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = moving(&server, 100_000_000, "use = 'discard'")
        .replace(
            "output = 'done'\n[stages.write]\nuse = 'file'\nwith = { path = 'out.txt' }\ninput = 'done'\n",
            "",
        )
        .replace("[queues.done]\nshared = true\n", "");
    let text = text.replace("ack_wait = '2s'", "ack_wait = '10m'");
    let (first, second) = (machine(&text, "read,work"), machine(&text, "read,work"));
    let is = |run: &Run, wanted: &str| {
        wait_until(wanted, || (state_of_read(run).as_deref() == Some(wanted)).then_some(()))
    };
    let (holder, other) = wait_until("a holder", || {
        match (state_of_read(&first)?.as_str(), state_of_read(&second)?.as_str()) {
            ("running", "elsewhere") => Some((&first, &second)),
            ("elsewhere", "running") => Some((&second, &first)),
            _ => None,
        }
    });
    holder.tell(&["stop", "pipeline.toml", "read"]);
    is(other, "running");
    is(holder, "stopped");
    holder.tell(&["start", "pipeline.toml", "read"]);
    is(holder, "elsewhere");
    other.tell(&["stop", "pipeline.toml", "read"]);
    is(holder, "running");
}

/// Both machines have all stages; each dies again and again, with all its processes. What stands in their files is each item once.
fn machines_that_die_all_the_time_lose_and_double_nothing_on_the_whole_way(kind: BrokerKind) {
    const ITEMS: u32 = 4000;
    let server = Server::safe(kind);
    let text = moving(&server, ITEMS, &format!("{PASS}\nsleep = '1ms'\nattempts = 1000000"));
    let mut machines = [machine(&text, ALL), machine(&text, ALL)];
    let mut deaths = 0;
    for n in (0..2).cycle() {
        let before = numbers_of(&[&machines[0], &machines[1]]).len();
        let mut is_over = false;
        wait_until("some progress", || {
            is_over = machines.iter_mut().all(|run| run.child.try_wait().unwrap().is_some());
            let now = numbers_of(&[&machines[0], &machines[1]]).len();
            (is_over || now > before + 100).then_some(())
        });
        if is_over {
            break;
        }
        let [first, second] = machines;
        let (mut dies, lives) = if n == 0 { (first, second) } else { (second, first) };
        power_off(&mut dies);
        deaths += 1;
        let back = again(dies, ALL);
        machines = if n == 0 { [back, lives] } else { [lives, back] };
    }
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    let logs = || machines.iter().map(Run::stderr).collect::<String>();
    assert_eq!(numbers_of(&[&machines[0], &machines[1]]), each_once(ITEMS), "{}", logs());
    assert!(deaths >= 10, "{deaths} deaths");
}

/// It stands still for longer than its claim lasts, and goes on: what it does afterwards counts for nothing.
fn a_machine_that_stood_still_doubles_nothing_when_it_goes_on(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = moving(&server, 3000, &format!("{PASS}\nsleep = '2ms'"));
    let mut first = machine(&text, "read");
    wait_until("its claim", || {
        // On a slow machine all is emitted before it is looked at: it waits for room in the queue then.
        matches!(state_of_read(&first)?.as_str(), "running" | "finished").then_some(())
    });
    let mut second = machine(&text, ALL);
    wait_until("the second", || (numbers(&second).len() > 20).then_some(()));
    let all = support::process::in_folder(first.folder.path());
    for &pid in &all {
        support::process::kill(pid, libc::SIGSTOP);
    }
    wait_until("the second to take over", || {
        second
            .ask(&["status", "pipeline.toml"])
            .stdout
            .lines()
            .any(|line| line.starts_with("read") && !line.contains("elsewhere"))
            .then_some(())
    });
    for &pid in &all {
        support::process::kill(pid, libc::SIGCONT);
    }
    assert_eq!(first.wait(), 0, "{}", first.stderr());
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    assert_eq!(numbers(&second), each_once(3000), "{}{}", first.stderr(), second.stderr());
}

/// It had read all that there is, and stood still before the broker had room for it. Another machine has brought it there meanwhile.
fn a_machine_that_stood_still_at_the_end_of_its_source_ends_when_it_goes_on(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = moving(&server, 3000, PASS).replace("[queues.done]\n", "[queues.done]\ncapacity = 10000\n");
    let mut first = machine(&text, "read");
    wait_until("its end", || (state_of_read(&first)? == "finished").then_some(()));
    // Nothing tells that the link has seen the end, too: it looks once a second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let all = support::process::in_folder(first.folder.path());
    for &pid in &all {
        support::process::kill(pid, libc::SIGSTOP);
    }
    let mut second = machine(&text, "read,work");
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    for &pid in &all {
        support::process::kill(pid, libc::SIGCONT);
    }
    first.wait_for_log("refuses commits");
    let mut third = machine(&text, "write");
    for run in [&mut first, &mut third] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!(numbers(&third), each_once(3000), "{}{}", first.stderr(), second.stderr());
}

/// What a sum has seen is part of its position.
fn a_sum_is_right_wherever_it_was_made_and_says_its_last_word(kind: BrokerKind) {
    let server = Server::safe(kind);
    let work = "use = 'sum'\nmachines = 'one'";
    let text = file(&server, 6000, work, "").replace("[stages.work]", "rate = '1000/s'\n[stages.work]");
    let mut ends = machine(&text, "read,write");
    let mut machines = [machine(&text, "work"), machine(&text, "work")];
    for n in [0, 1, 0] {
        let put = || fs::read_to_string(ends.folder.path().join("out.txt"));
        assert!(put().unwrap_or_default().is_empty());
        std::thread::sleep(std::time::Duration::from_millis(300));
        power_off(&mut machines[n]);
        let [first, second] = machines;
        machines = if n == 0 { [again(first, "work"), second] } else { [first, again(second, "work")] };
    }
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!(numbers(&ends), [6000 * 6001 / 2], "{}", ends.stderr());
}

/// It prints behind the last item, when nothing is left in its input. Another machine with the stage has nothing to print.
fn a_program_of_one_machine_at_a_time_says_its_last_word_once(kind: BrokerKind) {
    let server = Server::safe(kind);
    let count = "command = 'wc -l'\nmode = 'stream'\nmachines = 'one'";
    let text = moving(&server, 500, count);
    let mut machines = [machine(&text, "read,write"), machine(&text, "work"), machine(&text, "work")];
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!(numbers(&machines[0]), [500], "{}{}", machines[1].stderr(), machines[2].stderr());
}

/// What its program had read is lost with it, as on one machine; what is left is another machine's, and the run ends.
fn a_program_of_one_machine_at_a_time_goes_on_on_another_when_its_machine_is_killed(kind: BrokerKind) {
    let server = Server::safe(kind);
    let text = moving(
        &server,
        2000,
        "command = ['sh', '-c', 'while read -r n; do sleep 0.002; echo $n; done']\nmode = 'stream'\nmachines = 'one'",
    );
    let mut first = machine(&text, "read,write");
    let mut dies = machine(&text, "work");
    wait_until("some items", || (numbers(&first).len() > 50).then_some(()));
    power_off(&mut dies);
    let mut second = machine(&text, "work");
    for run in [&mut second, &mut first] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    let all = numbers(&first);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]) && all.len() > 50, "{all:?}");
}

/// A program without input has no position: it begins anew where its machine does. But not once it has said its end.
fn a_program_that_has_said_its_end_does_not_begin_anew_with_its_machine(kind: BrokerKind) {
    let server = Server::safe(kind);
    let work = format!("{PASS}\nsleep = '5ms'");
    let text = file(&server, 0, &work, "")
        .replace("use = 'count'\nwith = { to = 0 }", "command = 'echo begun >&2; seq 400'");
    let mut run = machine(&text, ALL);
    wait_until("the end of the source", || {
        let said = run.ask(&["status", "pipeline.toml"]).stdout;
        said.lines().any(|line| line.starts_with("read") && line.contains("finished")).then_some(())
    });
    // Its commits and its end are there: nothing is left of it here.
    wait_until("some items", || (numbers(&run).len() > 100).then_some(()));
    power_off(&mut run);
    let mut run = again(run, ALL);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("read: it has ended in this run before"), "{}", run.stderr());
    assert!(!run.stderr().contains("begun"), "{}", run.stderr());
    assert_eq!(numbers(&run), each_once(400), "{}", run.stderr());
}

/// Where others write the file as well its length says nothing: none of their lines may be cut off.
fn a_file_of_several_machines_loses_no_line_when_one_of_them_comes_back(kind: BrokerKind) {
    const ITEMS: u32 = 4000;
    let server = Server::safe(kind);
    let folder = support::Folder::new();
    let path = folder.path().join("all.txt");
    let work = format!("{PASS}\nsleep = '4ms'\nattempts = 1000000");
    let text = moving(&server, ITEMS, &work)
        .replace("path = 'out.txt'", &format!("path = '{}', append = true", path.display()));
    let mut stays = machine(&text, ALL);
    let mut dies = machine(&text, ALL);
    let mut deaths = 0;
    while deaths < 5 {
        let before = in_it(&path).len();
        wait_until("some progress", || (in_it(&path).len() > before + 100).then_some(()));
        power_off(&mut dies);
        deaths += 1;
        dies = again(dies, ALL);
    }
    for run in [&mut stays, &mut dies] {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert_eq!(once(in_it(&path)), each_once(ITEMS), "{}", dies.stderr());
}

/// All numbers in a file, as they come; a torn line is none.
fn in_it(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn once(numbers: Vec<u32>) -> Vec<u32> {
    numbers.into_iter().collect::<BTreeSet<u32>>().into_iter().collect()
}

/// The first has a file for itself, and the broker counts its length. Then it has no other turn before its death: it is
/// stopped (`is_stopped`: the second sees it), or dead already, while the second writes.
fn a_machine_that_had_a_file_for_itself_cuts_off_nothing_of_a_second(kind: BrokerKind) {
    for is_stopped in [true, false] {
        const ITEMS: u32 = 1500;
        let server = Server::safe(kind);
        let folder = support::Folder::new();
        let path = folder.path().join("all.txt");
        let work = format!("{PASS}\nsleep = '4ms'\nattempts = 1000000");
        let text = file(&server, ITEMS, &work, "")
            .replace("path = 'out.txt'", &format!("path = '{}', append = true", path.display()));
        let mut feeds = machine(&text, "read,work");
        let mut first = machine(&text, "write");
        wait_until("the first to write", || (in_it(&path).len() > 50).then_some(()));
        match is_stopped {
            true => support::process::in_folder(first.folder.path()).iter().for_each(|pid| {
                support::process::kill(*pid, libc::SIGSTOP);
            }),
            false => power_off(&mut first),
        }
        let alone = in_it(&path).len();
        let mut second = machine(&text, "write");
        wait_until("the second to write", || (in_it(&path).len() > alone + 100).then_some(()));
        if is_stopped {
            power_off(&mut first);
        } else {
            power_off(&mut second);
        }
        let before = once(in_it(&path));
        first = again(first, "write");
        if !is_stopped {
            wait_until("the first to write again", || (in_it(&path).len() > before.len() + 20).then_some(()));
            second = again(second, "write");
        }
        for run in [&mut feeds, &mut first, &mut second] {
            assert_eq!(run.wait(), 0, "{}", run.stderr());
        }
        let after = once(in_it(&path));
        assert!(before.iter().all(|number| after.binary_search(number).is_ok()), "{}", first.stderr());
        assert_eq!(after, each_once(ITEMS), "{}{}", first.stderr(), second.stderr());
        assert!(first.stderr().contains("so it stays, and items of this one may come twice"));
    }
}

on_both!(
    a_machine_that_dies_and_comes_back_goes_on_with_its_source_and_its_file,
    a_source_goes_on_on_another_machine_when_its_own_is_gone,
    a_machine_that_stops_hands_its_source_over_at_once,
    one_that_is_stopped_by_hand_is_anothers_until_it_is_free_again,
    machines_that_die_all_the_time_lose_and_double_nothing_on_the_whole_way,
    a_machine_that_stood_still_doubles_nothing_when_it_goes_on,
    a_machine_that_stood_still_at_the_end_of_its_source_ends_when_it_goes_on,
    a_sum_is_right_wherever_it_was_made_and_says_its_last_word,
    a_program_of_one_machine_at_a_time_says_its_last_word_once,
    a_program_of_one_machine_at_a_time_goes_on_on_another_when_its_machine_is_killed,
    a_program_that_has_said_its_end_does_not_begin_anew_with_its_machine,
    a_file_of_several_machines_loses_no_line_when_one_of_them_comes_back,
    a_machine_that_had_a_file_for_itself_cuts_off_nothing_of_a_second,
);
