//! Verbs about all machines of a run, over a real redis-server and a real nats-server: each machine is an mprun with state and runtime folders of its own.

#[allow(dead_code, reason = "what only the tests of the broker itself use")]
#[path = "broker/server.rs"]
mod server;
mod support;

use mprun::broker::BrokerKind;
use serde_json::Value;
use server::{SAFE, Server, on_both};
use std::fs;
use support::{Folder, Run, Said, command, process, wait_until};

/// A machine that runs these stages of a file.
fn machine(text: &str, stages: &str) -> Run {
    Run::start_with(text, &["--stages", stages])
}

/// A machine that runs nothing, and has the file.
struct Looker(Folder);

impl Looker {
    fn new(text: &str) -> Looker {
        let folder = Folder::new();
        folder.file("pipeline.toml", text);
        Looker(folder)
    }

    fn ask(&self, arguments: &[&str]) -> Said {
        let output = command(&self.0).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn tell(&self, arguments: &[&str]) -> String {
        let said = self.ask(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    #[track_caller]
    fn status(&self) -> Value {
        serde_json::from_str(&self.tell(&["status", "--all", "pipeline.toml", "--json"])).unwrap()
    }
}

/// `read` counts, `work` passes items on, `write` puts them into a file of its machine.
fn file(server: &Server, items: u32, work: &str) -> String {
    format!(
        "[broker]\nurl = '{}'\nack_wait = '10m'\n[queues.jobs]\nshared = true\ncapacity = 100\n\
         [queues.done]\nshared = true\n[stages.read]\nuse = 'count'\nwith = {{ to = {items} }}\noutput = 'jobs'\n\
         [stages.work]\n{work}\ninput = 'jobs'\noutput = 'done'\n[stages.write]\nuse = 'file'\n\
         with = {{ path = 'out.txt' }}\ninput = 'done'\n",
        address(server)
    )
}

const SLOW: &str = "use = 'format'\nwith = { template = '{item}' }\nsleep = '20ms'\nprocesses = 2";

/// It lets in who has the password.
fn server(kind: BrokerKind) -> Server {
    match kind {
        BrokerKind::Redis => Server::start(&[SAFE, &["--requirepass", "s3cret"]].concat()),
        BrokerKind::Nats => Server::nats(&["-js", "--auth", "s3cret"], ""),
    }
}

fn address(server: &Server) -> String {
    server.url_of(":s3cret")
}

fn numbers(run: &Run) -> Vec<u32> {
    let text = fs::read_to_string(run.folder.path().join("out.txt")).unwrap_or_default();
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn signal_all(processes: &[u32], signal: i32) {
    for &pid in processes {
        process::kill(pid, signal);
    }
}

/// The value of a stage.
fn stage<'a>(status: &'a Value, name: &str) -> &'a Value {
    let stages = status["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["name"] == name).unwrap()
}

/// The ids of the machines in that state.
fn ids(status: &Value, state: &str) -> Vec<String> {
    let machines = status["machines"].as_array().unwrap().iter();
    let found = machines.filter(|machine| machine["state"] == state);
    found.map(|machine| machine["id"].as_str().unwrap().to_owned()).collect()
}

fn id(run: &Run) -> String {
    let text = fs::read_to_string(run.folder.path().join("state/mprun/pipeline/machine")).unwrap();
    text.trim().to_owned()
}

fn five_machines_are_summed_and_each_is_there_with_what_it_runs(kind: BrokerKind) {
    let server = server(kind);
    let text = file(&server, 100_000, SLOW);
    let machines = ["read", "work", "work", "work", "write"].map(|stages| machine(&text, stages));
    let looker = Looker::new(&text);
    let status = wait_until("all machines at work", || {
        let said = looker.ask(&["status", "--all", "pipeline.toml", "--json"]);
        let status: Value = serde_json::from_str(&said.stdout).ok()?;
        let is_at_work = stage(&status, "work")["totals"]["done"].as_u64().unwrap() > 30;
        let are_up = stage(&status, "work")["running"] == 6;
        (is_at_work && are_up && ids(&status, "alive").len() == 5).then_some(status)
    });
    let work = stage(&status, "work");
    assert_eq!((&work["machines"], &work["processes"], &work["running"]), (&3.into(), &6.into(), &6.into()));
    assert!(work["rate"]["done"].as_f64().unwrap() > 0.0, "{work}");
    let mut known = ids(&status, "alive");
    known.sort_unstable();
    let mut expected: Vec<String> = machines.iter().map(id).collect();
    expected.sort_unstable();
    assert_eq!(known, expected);
    let queue = &status["queues"][1];
    assert_eq!((queue["name"].as_str(), queue["capacity"].as_u64()), (Some("jobs"), Some(100)));
    assert!(queue["oldest"].as_f64().is_none_or(|age| age < 60.0), "{queue}");
    // What people see: no password, no process.
    let shown = looker.tell(&["status", "--all", "pipeline.toml"]);
    assert!(
        shown.contains("run 1, running") && shown.contains("work 2/2") && !shown.contains("s3cret"),
        "{shown}"
    );
    assert!(!status.to_string().contains("s3cret") && !status.to_string().contains("pid"), "{status}");
    let why = wait_until("the bottleneck", || {
        let why = looker.tell(&["why", "--all", "pipeline.toml"]);
        why.contains("work is the bottleneck, by its own pauses").then_some(why)
    });
    assert_eq!(why.matches("\nwork ").count(), 3, "{why}");
    let audit = looker.tell(&["audit", "--all", "pipeline.toml"]);
    assert!(audit.contains("every item of run 1 is accounted for"), "{audit}");
    // A machine that runs the pipeline knows its file.
    assert!(machines[0].tell(&["status", "--all"]).contains("run 1, running"));
}

fn one_machine_is_seen_until_its_run_has_ended_and_after_that(kind: BrokerKind) {
    let server = server(kind);
    let text = file(&server, 200, "use = 'format'\nwith = { template = '{item}' }");
    let looker = Looker::new(&text);
    let said = looker.ask(&["status", "--all", "pipeline.toml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("no machine has begun a run of pipeline"), "{}", said.stderr);
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let status = looker.status();
    assert!(status["run"]["ended"].as_str().unwrap().starts_with("20"), "{status}");
    assert_eq!((ids(&status, "left").len(), ids(&status, "alive").len()), (1, 0));
    let work = stage(&status, "work");
    assert_eq!((&work["totals"]["done"], &work["totals"]["emitted"]), (&200.into(), &200.into()), "{work}");
    assert_eq!((work["state"].as_str(), &work["running"]), (Some("finished"), &0.into()));
}

fn a_killed_machine_falls_silent_is_named_and_struck_off_and_its_items_are_done_by_another(kind: BrokerKind) {
    let server = server(kind);
    // Leases last longer than the test would wait for them.
    let text = file(&server, 300, SLOW);
    let (mut ends, mut gone) = (machine(&text, "read,write"), machine(&text, "work"));
    wait_until("some items", || (numbers(&ends).len() > 20).then_some(()));
    let looker = Looker::new(&text);
    let name = id(&gone);
    let said = looker.ask(&["forget", "pipeline.toml", &name[..6]]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stderr.contains("is alive"), "{}", said.stderr);
    gone.signal(9);
    gone.wait();
    wait_until("silence", || (ids(&looker.status(), "silent") == [name.clone()]).then_some(()));
    let limit = looker.status()["bottleneck"].clone();
    assert_eq!(
        (limit["limit"].as_str(), limit["stage"].as_str()),
        (Some("missing"), Some("work")),
        "{limit}"
    );
    let text_of = limit["text"].as_str().unwrap();
    assert!(
        text_of.starts_with("work is the bottleneck: no machine that is heard of runs it, and "),
        "{limit}"
    );
    let mut stays = machine(&text, "work");
    let is_at_work = || (looker.status()["bottleneck"]["limit"] != "missing").then_some(());
    wait_until("a machine that works", is_at_work);
    let shown = looker.tell(&["status", "--all", "pipeline.toml"]);
    let expected = format!("`mprun forget pipeline.toml {}`", &name[..8]);
    assert!(shown.contains("has fallen silent") && shown.contains(&expected), "{shown}");
    let answer = looker.tell(&["forget", "pipeline.toml", &name[..8]]);
    assert!(answer.contains("is struck off") && answer.contains("of jobs given back"), "{answer}");
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    assert_eq!(stays.wait(), 0, "{}", stays.stderr());
    assert_eq!(numbers(&ends), (1..=300).collect::<Vec<_>>());
    assert_eq!(looker.ask(&["forget", "pipeline.toml", "xyz"]).code, Some(2));
}

fn a_stopped_machine_that_was_struck_off_is_refused_when_it_goes_on(kind: BrokerKind) {
    let server = server(kind);
    let text = file(&server, 300, SLOW);
    let (mut ends, mut late) = (machine(&text, "read,write"), machine(&text, "work"));
    wait_until("some items", || (numbers(&ends).len() > 20).then_some(()));
    let all = process::in_folder(late.folder.path());
    signal_all(&all, libc::SIGSTOP);
    let (looker, name) = (Looker::new(&text), id(&late));
    wait_until("silence", || (looker.ask(&["forget", "pipeline.toml", &name]).code == Some(0)).then_some(()));
    let mut stays = machine(&text, "work");
    wait_until("more items", || (numbers(&ends).len() > 60).then_some(()));
    signal_all(&all, libc::SIGCONT);
    assert_eq!(late.wait(), 1, "{}", late.stderr());
    assert!(late.stderr().contains("struck off"), "{}", late.stderr());
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    assert_eq!(stays.wait(), 0, "{}", stays.stderr());
    assert_eq!(numbers(&ends), (1..=300).collect::<Vec<_>>());
    looker.tell(&["audit", "--all", "pipeline.toml"]);
}

fn a_machine_says_since_when_the_broker_is_away_and_who_asks_the_broker_gets_an_error(kind: BrokerKind) {
    let mut server = server(kind);
    let text = file(&server, 100_000, SLOW);
    let run = Run::start(&text);
    wait_until("some items", || (numbers(&run).len() > 20).then_some(()));
    let looker = Looker::new(&text);
    server.kill();
    let status = wait_until("the outage", || {
        let status = run.tell(&["status"]);
        status.contains("the broker can't be reached for").then_some(status)
    });
    assert!(status.contains("of shared queues are here"), "{status}");
    assert!(run.tell(&["why"]).contains("the broker can't be reached for"));
    assert_eq!(run.ask(&["status", "--check"]).code, Some(1));
    for verb in ["status", "audit", "why"] {
        let said = looker.ask(&[verb, "--all", "pipeline.toml"]);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(
            said.stderr.contains("the broker can't be reached") && !said.stderr.contains("s3cret"),
            "{}",
            said.stderr
        );
    }
    server.start_again();
    wait_until("the broker", || (!run.tell(&["status"]).contains("can't be reached")).then_some(()));
    wait_until("the machine", || {
        let said = looker.ask(&["status", "--all", "pipeline.toml", "--json"]);
        let status: Value = serde_json::from_str(&said.stdout).ok()?;
        (ids(&status, "alive") == [id(&run)]).then_some(())
    });
    let wrong = Looker::new(&text.replace("s3cret", "hunter2"));
    let said = wrong.ask(&["status", "--all", "pipeline.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("password") && !said.stderr.contains("hunter2"), "{}", said.stderr);
}

fn goes_on(run: &Run) {
    let before = numbers(run).len();
    wait_until("more items", || (numbers(run).len() > before + 20).then_some(()));
}

/// Its secret is another one, in a file that it reads again, then in a pipeline file that is reloaded.
fn a_machine_waits_while_the_broker_refuses_its_secret_and_goes_on_with_the_right_one(kind: BrokerKind) {
    let mut server = server(kind);
    let text = file(&server, 100_000, SLOW).replace(":s3cret@", "");
    let with_file = text.replace("[broker]", "[broker]\ncredentials_file = 'secret'");
    let folder = Folder::new();
    folder.file("pipeline.toml", &with_file);
    let secret = |word: &str| folder.file("secret", word);
    secret("wr0ng");
    let refused = command(&folder).arg("run").arg("pipeline.toml").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "at the start it is a fault");
    let path = secret("s3cret");
    let run = Run::in_folder(folder, &[]);
    goes_on(&run);
    let mut rotate = |from: &str, to: &str| {
        server.kill();
        server.change_argument(from, to);
        server.start_again();
        let refused = "the broker refuses the user or the password";
        wait_until("the outage", || {
            let said = run.ask(&["status", "--check"]);
            (said.code == Some(1) && said.stdout.contains(refused)).then_some(())
        });
        run.wait_for_log(&format!("{refused}; items wait in this machine's memory"));
    };
    rotate("s3cret", "0ther");
    fs::write(&path, "0ther").unwrap();
    run.wait_for_log("the broker is there again");
    goes_on(&run);
    rotate("0ther", "th1rd");
    let third = text.replace("://", "://:th1rd@");
    run.folder.file("pipeline.toml", &third);
    run.tell(&["reload", "--wait"]);
    run.wait_for_log("reload: broker: this machine's password");
    wait_until("the broker", || (run.ask(&["status", "--check"]).code == Some(0)).then_some(()));
    goes_on(&run);
    let log = run.stderr();
    assert!(!["s3cret", "0ther", "th1rd"].iter().any(|secret| log.contains(secret)), "{log}");
}

/// A failover, or a setting that somebody changes: no item of this machine is lost for that.
fn a_machine_waits_for_a_server_that_is_unfit_in_the_middle_of_a_run(kind: BrokerKind) {
    let (mut server, fit, unfit, why) = match kind {
        BrokerKind::Redis => {
            let server = Server::start(&[SAFE, &["--maxmemory-policy", "noeviction"]].concat());
            (server, "noeviction", "allkeys-lru", "the server may lose items")
        }
        BrokerKind::Nats => (Server::nats(&["-js"], ""), "-js", "-V", "the server keeps nothing"),
    };
    let text = file(&server, 100_000, SLOW).replace(":s3cret@", "");
    let run = Run::start(&text);
    goes_on(&run);
    let restart = |server: &mut Server, (from, to): (&str, &str)| {
        server.kill();
        server.change_argument(from, to);
        server.start_again();
    };
    restart(&mut server, (fit, unfit));
    run.wait_for_log(why);
    assert_eq!(run.ask(&["status", "--check"]).code, Some(1));
    let folder = Folder::new();
    folder.file("pipeline.toml", &text);
    let refused = command(&folder).arg("run").arg("pipeline.toml").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "at the start it is a fault");
    restart(&mut server, (unfit, fit));
    run.wait_for_log("the broker is there again");
    goes_on(&run);
}

/// What it has room for again is said once, and a look at a full one tells what is to be done.
fn a_broker_that_is_full_is_said_and_seen_until_it_has_room(kind: BrokerKind) {
    let server = match kind {
        BrokerKind::Redis => Server::start(&[SAFE, &["--maxmemory", "6mb"]].concat()),
        BrokerKind::Nats => Server::nats(&["-js"], "jetstream { max_file_store: 3MB }"),
    };
    let items = Folder::new();
    let lines: String = (1..=6000).map(|n| format!("{n:01000}\n")).collect();
    let path = items.file("in.txt", &lines);
    let text = file(&server, 0, "use = 'format'\nwith = { template = '{item}' }")
        .replace(":s3cret@", "")
        .replace(
            "use = 'count'\nwith = { to = 0 }",
            &format!("use = 'lines'\nwith = {{ path = '{}' }}", path.display()),
        )
        .replace("capacity = 100\n", "capacity = 1000000\n");
    let mut reads = machine(&text, "read");
    reads.wait_for_log("is full: what the stage read has for jobs waits");
    let status = reads.tell(&["status"]);
    let limit = if kind == BrokerKind::Redis { "maxmemory" } else { "max_file_store" };
    assert!(status.contains(" is full for ") && status.contains(limit), "{status}");
    assert!(reads.tell(&["why"]).contains(" is full for "));
    for verb in ["status", "why"] {
        let says_so = || reads.tell(&[verb, "--all"]).contains(" is full for ");
        wait_until("a snapshot of it", || says_so().then_some(()));
    }
    // It is backpressure, not a fault.
    reads.tell(&["status", "--check"]);
    let mut others = ["work", "write"].map(|stage| machine(&text, stage));
    for run in others.iter_mut().chain([&mut reads]) {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    let all = numbers(&others[1]);
    assert!(all == (1..=6000).collect::<Vec<_>>(), "{} lines", all.len());
    let log = reads.stderr();
    assert!(!log.contains("can't be reached") && log.matches("is full: what").count() <= 5, "{log}");
}

fn dead_letters_in_the_broker_are_seen_to_from_any_machine(kind: BrokerKind) {
    let server = server(kind);
    let looker = Looker::new("");
    let fixed = looker.0.path().join("fixed");
    let work = format!(
        "command = 'if [ \"$1\" = 7 ] && [ ! -e {} ]; then echo broken >&2; exit 1; fi; echo \"$1\"'\nmode = 'each'\nattempts = 1",
        fixed.display()
    );
    // Its source goes on, so the queue does not end.
    let text = file(&server, 100_000, &work).replace("use = 'count'", "use = 'count'\nsleep = '5ms'");
    looker.0.file("pipeline.toml", &text);
    let run = Run::start(&text);
    let letters = || -> Vec<Value> {
        // Until the run has begun there is an error.
        let said = looker.ask(&["dead", "list", "--shared", "pipeline.toml", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_default()
    };
    let first = wait_until("a dead letter", || letters().pop());
    let id = first["id"].as_str().unwrap().to_owned();
    assert_eq!((first["item"].as_str(), first["queue"].as_str()), (Some("7"), Some("jobs")));
    let shown = looker.tell(&["dead", "show", "--shared", "pipeline.toml", &id]);
    assert!(shown.contains("ended with exit code 1") && shown.contains("1 byte: 7"), "{shown}");
    assert!(looker.tell(&["dead", "list", "--shared", "pipeline.toml"]).contains(&id));
    assert!(
        looker
            .tell(&["status", "--all", "pipeline.toml"])
            .contains("`mprun dead list --shared pipeline.toml` shows it")
    );
    // It fails again, and is another letter.
    assert_eq!(looker.tell(&["dead", "retry", "--shared", "pipeline.toml", &id]), "1 dead letter put back\n");
    assert_eq!(
        looker.ask(&["dead", "retry", "--shared", "pipeline.toml", &id]).code,
        Some(2),
        "it is no more"
    );
    let again = wait_until("the second letter", || letters().pop());
    assert_ne!(again["id"], first["id"]);
    fs::write(&fixed, "").unwrap();
    assert_eq!(
        looker.tell(&["dead", "retry", "--shared", "pipeline.toml", "--all"]),
        "1 dead letter put back\n"
    );
    wait_until("the item", || numbers(&run).contains(&7).then_some(()));
    assert_eq!(letters(), Vec::<Value>::new());
    looker.tell(&["audit", "--all", "pipeline.toml"]);
    for bad in [
        &["dead", "retry", "--shared", "pipeline.toml"][..],
        &["dead", "drop", "--shared", "pipeline.toml", "x/1"],
    ] {
        assert_eq!(looker.ask(bad).code, Some(2), "{bad:?}");
    }
}

fn letters_of_shared_queues_count_as_long_as_the_broker_has_them(kind: BrokerKind) {
    let server = server(kind);
    let work = "command = 'if [ \"$1\" = 7 ]; then exit 1; fi; echo \"$1\"'\nmode = 'each'\nattempts = 1";
    let text = file(&server, 100_000, work).replace("use = 'count'", "use = 'count'\nsleep = '100ms'");
    let looker = Looker::new(&text);
    let mut run = Run::start(&text);
    // Until it is up there is no status.
    let status =
        || -> Value { serde_json::from_str(&run.ask(&["status", "--json"]).stdout).unwrap_or_default() };
    let seen =
        wait_until("a dead letter", || Some(status()).filter(|seen| seen["letters"]["in_broker"] == 1));
    assert_eq!((&seen["dead_letters"], &seen["letters"]["letters"]), (&1.into(), &0.into()), "{seen}");
    let check = run.ask(&["status", "--check"]);
    assert_eq!(check.code, Some(3), "{}", check.stdout);
    assert!(check.stdout.contains("in the broker") && !check.stdout.contains("jsonl"), "{}", check.stdout);
    looker.tell(&["dead", "drop", "--shared", "pipeline.toml", "--all"]);
    wait_until("a count without it", || (run.ask(&["status", "--check"]).code == Some(0)).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

/// 20 items, of which 7 fails as long as `fixed` is not there.
fn with_a_bad_item(looker: &Looker, server: &Server) -> String {
    let fixed = looker.0.path().join("fixed");
    let work = format!(
        "command = 'if [ \"$1\" = 7 ] && [ ! -e {} ]; then exit 1; fi; echo \"$1\"'\nmode = 'each'\nattempts = 1",
        fixed.display()
    );
    let text = file(server, 20, &work);
    looker.0.file("pipeline.toml", &text);
    text
}

fn letters(looker: &Looker) -> Vec<String> {
    let text = looker.tell(&["dead", "list", "--shared", "pipeline.toml", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    all.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

/// What a run that has ended leaves is tried again as on one machine: in a run without sources, which adds to its file.
fn letters_of_a_run_that_has_ended_are_worked_off_by_the_next_run_of_the_file(kind: BrokerKind) {
    let server = server(kind);
    let looker = Looker::new("");
    let text = with_a_bad_item(&looker, &server);
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let id = letters(&looker).pop().unwrap();
    assert!(id.starts_with("1/jobs/"), "{id}");
    // It fails once more, and is a letter of the second run.
    for code in [3, 0] {
        let said = looker.tell(&["dead", "retry", "--shared", "pipeline.toml", "--all"]);
        assert!(said.starts_with("1 dead letter put back\nrun "), "{said}");
        assert!(
            said.ends_with(
                "works off dead letters, its sources are off: `mprun run pipeline.toml` joins it\n"
            ),
            "{said}"
        );
        assert_eq!(letters(&looker), Vec::<String>::new());
        let said = run.ask(&["run", "pipeline.toml"]);
        assert_eq!(said.code, Some(code), "{}", said.stderr);
        assert!(said.stderr.contains("only works off dead letters; its sources are off"), "{}", said.stderr);
        looker.tell(&["audit", "--all", "pipeline.toml"]);
        fs::write(looker.0.path().join("fixed"), "").unwrap();
        if code == 3 {
            assert!(letters(&looker)[0].starts_with("2/jobs/"), "{:?}", letters(&looker));
        }
    }
    assert_eq!(numbers(&run), (1..=20).collect::<Vec<_>>());
    // It has ended, and nothing is left to try again.
    assert!(run.ask(&["run", "pipeline.toml"]).stderr.contains("has ended"));
    let said = looker.tell(&["dead", "retry", "--shared", "pipeline.toml", "--all"]);
    assert_eq!(said, "no dead letters to try again\n");
}

fn letters_of_an_earlier_run_are_listed_and_put_into_the_run_that_goes_on(kind: BrokerKind) {
    let server = server(kind);
    let looker = Looker::new("");
    let text = with_a_bad_item(&looker, &server);
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let endless =
        text.replace("to = 20", "to = 100000").replace("use = 'count'", "use = 'count'\nsleep = '5ms'");
    run.edit(&endless);
    let second = again(run, &["--new-run"]);
    wait_until("letters of both runs", || (letters(&looker).len() == 2).then_some(()));
    let of_first = looker.tell(&["dead", "list", "--shared", "pipeline.toml", "--run", "1"]);
    assert!(of_first.contains("1/jobs/") && !of_first.contains("2/jobs/"), "{of_first}");
    fs::write(looker.0.path().join("fixed"), "").unwrap();
    let said = looker.tell(&["dead", "retry", "--shared", "pipeline.toml", "--all"]);
    assert_eq!(said, "2 dead letters put back\n");
    wait_until("the items", || {
        (numbers(&second).iter().filter(|number| **number == 7).count() >= 2).then_some(())
    });
    assert_eq!(letters(&looker), Vec::<String>::new());
    looker.tell(&["audit", "--all", "pipeline.toml"]);
}

/// Its queue was renamed for the next run.
fn letters_of_a_queue_that_the_file_has_no_more_are_shown_and_not_put_back(kind: BrokerKind) {
    let server = server(kind);
    let looker = Looker::new("");
    let text = with_a_bad_item(&looker, &server);
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    fs::write(looker.0.path().join("fixed"), "").unwrap();
    let renamed = text.replace("jobs", "tasks");
    looker.0.file("pipeline.toml", &renamed);
    run.edit(&renamed);
    let mut second = again(run, &["--new-run"]);
    assert_eq!(second.wait(), 0, "{}", second.stderr());
    let ids = letters(&looker);
    assert!(ids.len() == 1 && ids[0].starts_with("1/jobs/"), "{ids:?}");
    assert!(
        looker.tell(&["dead", "show", "--shared", "pipeline.toml", &ids[0]]).contains("queue jobs, run 1")
    );
    let said = looker.ask(&["dead", "retry", "--shared", "pipeline.toml", "--all"]);
    assert_eq!(said.code, Some(1));
    let why = "1 dead letter of run 1 kept: pipeline.toml has no shared queue jobs";
    assert!(said.stderr.contains(why), "{}", said.stderr);
    assert_eq!(letters(&looker), ids);
    assert_eq!(looker.tell(&["dead", "drop", "--shared", "pipeline.toml", &ids[0]]), "1 dropped\n");
}

/// Whatever request is the last one before the kill, each letter is a letter or an item.
fn a_retry_that_is_killed_loses_no_letter_and_puts_none_twice(kind: BrokerKind) {
    let server = server(kind);
    let looker = Looker::new("");
    let fixed = looker.0.path().join("fixed");
    let work = format!(
        "command = '[ -e {} ] && echo \"$1\"'\nmode = 'each'\nattempts = 1\nwhen_failing = 'dead-letter'\nprocesses = 4",
        fixed.display()
    );
    let text = file(&server, 300, &work).replace("capacity = 100", "capacity = 400");
    looker.0.file("pipeline.toml", &text);
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(letters(&looker).len(), 300);
    fs::write(&fixed, "").unwrap();
    let mut killed = 0;
    for ms in [0, 5, 10, 20, 30, 40, 60] {
        let mut retry =
            command(&looker.0).args(["dead", "retry", "--shared", "pipeline.toml", "--all"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(ms));
        retry.kill().unwrap();
        killed += u32::from(retry.wait().unwrap().code().is_none());
    }
    assert!(killed > 0, "each command was done before its kill");
    looker.tell(&["dead", "retry", "--shared", "pipeline.toml", "--all"]);
    let said = run.ask(&["run", "pipeline.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(numbers(&run), (1..=300).collect::<Vec<_>>());
    looker.tell(&["audit", "--all", "pipeline.toml"]);
}

fn a_letter_of_a_run_that_has_ended_may_be_dropped(kind: BrokerKind) {
    let server = server(kind);
    let looker = Looker::new("");
    let text = with_a_bad_item(&looker, &server);
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(looker.tell(&["dead", "drop", "--shared", "pipeline.toml", "--all"]), "1 dropped\n");
    assert_eq!(looker.tell(&["dead", "list", "--shared", "pipeline.toml"]), "no dead letters\n");
    looker.tell(&["audit", "--all", "pipeline.toml"]);
}

/// What a broker holds, by pipeline and prefix: the number of keys.
fn held(looker: &Looker) -> Vec<(String, String, u64)> {
    let text = looker.tell(&["shared", "list", "pipeline.toml", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter()
        .map(|one| (word(&one["pipeline"]), word(&one["prefix"]), one["keys"].as_u64().unwrap()))
        .collect()
}

fn a_pipeline_is_dropped_whole_and_no_other_with_a_name_like_it(kind: BrokerKind) {
    let server = server(kind);
    let text = file(&server, 50, "use = 'format'\nwith = { template = '{item}' }");
    let prefixed = |prefix: &str| text.replace("[broker]", &format!("[broker]\nprefix = '{prefix}'"));
    let others = [
        format!("name = 'pipeline2'\n{text}"),
        format!("name = 'pipe'\n{text}"),
        prefixed("mprunx"),
        prefixed("m?r*n"),
    ];
    for text in others.iter().chain([&text]) {
        let mut run = Run::start(text);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    let looker = Looker::new(&text);
    let all = held(&looker);
    assert_eq!(all.len(), 5, "{all:?}");
    let text = looker.tell(&["shared", "list", "pipeline.toml", "--json"]);
    let listed: Vec<Value> = serde_json::from_str(&text).unwrap();
    for run in listed.iter().flat_map(|one| one["runs"].as_array().unwrap()) {
        let times = ["begun", "ended"].map(|key| run[key].as_str().unwrap());
        assert!(times.iter().all(|time| humantime::parse_rfc3339(time).is_ok()), "{run}");
        assert_eq!(run["alive"], 0, "{run}");
    }
    assert!(looker.tell(&["shared", "list", "pipeline.toml"]).contains("pipeline2"));
    // Without a terminal it has to be said.
    let said = looker.ask(&["shared", "drop", "pipeline.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.stdout);
    assert!(said.stderr.contains("1 run with 0 items") && said.stderr.contains("--yes"), "{}", said.stderr);
    // A pattern in a prefix is a prefix.
    let pattern = Looker::new(&others[3]);
    assert!(
        pattern
            .tell(&["shared", "drop", "pipeline.toml", "--yes"])
            .contains("deleted pipeline (prefix m?r*n), 1 run")
    );
    let left = held(&looker);
    assert_eq!(left, all.iter().filter(|one| one.1 != "m?r*n").cloned().collect::<Vec<_>>());
    looker.tell(&["shared", "drop", "pipeline.toml", "--yes"]);
    let is_other = |one: &&(String, String, u64)| !(one.0 == "pipeline" && one.1 == "mprun");
    assert_eq!(held(&looker), left.iter().filter(is_other).cloned().collect::<Vec<_>>());
    assert_eq!(looker.ask(&["shared", "drop", "pipeline.toml", "--yes"]).code, Some(1), "nothing is there");
    looker.tell(&["shared", "drop", "pipe", "--broker", &address(&server), "--yes"]);
    assert_eq!(held(&looker).len(), 2);
}

fn a_pipeline_whose_machines_are_alive_is_dropped_by_force_only_and_its_next_run_begins_anew(
    kind: BrokerKind,
) {
    let server = server(kind);
    let mut run = Run::start(&file(&server, 100_000, SLOW));
    wait_until("some items", || (numbers(&run).len() > 10).then_some(()));
    let text = file(&server, 30, SLOW);
    let looker = Looker::new(&text);
    let said = looker.ask(&["shared", "drop", "pipeline.toml", "--yes"]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stderr.contains("is alive"), "{}", said.stderr);
    assert_eq!(held(&looker).len(), 1);
    looker.tell(&["shared", "drop", "pipeline.toml", "--yes", "--force"]);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert_eq!(held(&looker).len(), 0);
    // It is run 1 again, and another one: what the machine has written for the other does not count.
    run.edit(&text);
    assert_eq!(run.ask(&["run", "pipeline.toml"]).code, Some(0));
    assert_eq!(numbers(&run), (1..=30).collect::<Vec<_>>());
}

fn purge(server: &Server, stream: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let client = async_nats::ConnectOptions::with_token("s3cret".into()).connect(server.url()).await;
        let client = client.unwrap();
        client.request(format!("$JS.API.STREAM.PURGE.{stream}"), "".into()).await.unwrap()
    });
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["success"], true, "{answer}");
}

#[test]
fn a_purged_stream_hides_no_other_pipeline_and_its_own_error_tells_the_way_out() {
    let server = server(BrokerKind::Nats);
    let text = file(&server, 30, "use = 'format'\nwith = { template = '{item}' }");
    let mut run = Run::start(&text);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let mut other = Run::start(&format!("name = 'fine'\n{text}"));
    assert_eq!(other.wait(), 0, "{}", other.stderr());
    purge(&server, "mprun+pipeline");
    let advice = "as if it was purged; `mprun shared drop` deletes what is left";
    for arguments in [&["run", "--new-run", "pipeline.toml"][..], &["check", "--online", "pipeline.toml"]] {
        let said = run.ask(arguments);
        assert!(said.code == Some(2) && said.stderr.contains(advice), "{arguments:?}: {}", said.stderr);
    }
    let looker = Looker::new(&text);
    let listed = looker.tell(&["shared", "list", &address(&server)]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[1].starts_with("fine ") && lines[1].contains(" ended "), "{listed}");
    assert!(lines[2].starts_with("pipeline ") && lines[2].contains(" unreadable "), "{listed}");
    assert!(lines[3].starts_with("pipeline (prefix mprun) can't be read: ") && lines[3].contains(advice));
    let text = looker.tell(&["shared", "list", &address(&server), "--json"]);
    let listed: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(listed[0].get("fault").is_none() && listed[1]["fault"].as_str().unwrap().contains(advice));
    let dropped = looker.tell(&["shared", "drop", "pipeline.toml", "--yes"]);
    assert_eq!(dropped, "deleted pipeline (prefix mprun), which can't be read: 2 keys\n");
    assert_eq!(held(&looker).len(), 1);
    assert_eq!(run.ask(&["run", "pipeline.toml"]).code, Some(0));
    assert_eq!(numbers(&run), (1..=30).collect::<Vec<_>>());
}

fn all_machines_stop_and_the_run_goes_on_where_they_start_again(kind: BrokerKind) {
    let server = server(kind);
    // A source that is far ahead of the others would wait for room as long as `drain_timeout` lets it.
    let text = file(&server, 1000, SLOW).replace("[stages.work]", "sleep = '8ms'\n[stages.work]");
    let mut machines = [machine(&text, "read,write"), machine(&text, "work"), machine(&text, "work")];
    wait_until("some items", || (numbers(&machines[0]).len() > 20).then_some(()));
    let looker = Looker::new(&text);
    wait_until("all machines", || (ids(&looker.status(), "alive").len() == 3).then_some(()));
    let said = looker.tell(&["stop", "--all", "pipeline.toml", "--wait"]);
    assert_eq!(said, "3 machines of pipeline told to stop\n");
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
    assert!(numbers(&machines[0]).len() < 1000);
    let status = looker.status();
    assert_eq!((ids(&status, "left").len(), status["run"]["ended"].is_null()), (3, true), "{status}");
    assert!(status["queues"].as_array().unwrap().iter().all(|queue| queue["leased"] == 0), "{status}");
    let said = looker.ask(&["stop", "--all", "pipeline.toml"]);
    assert!(said.code == Some(1) && said.stderr.contains("all have left"), "{said:?}");
    // The same file, and the one that is there stops no more.
    let [first, mut others @ ..] = machines;
    let mut ends = again(first, &["--stages", "read,write"]);
    others = others.map(|run| again(run, &["--stages", "work"]));
    assert_eq!(ends.wait(), 0, "{}", ends.stderr());
    assert_eq!(numbers(&ends), (1..=1000).collect::<Vec<_>>());
    for run in &mut others {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
}

/// The same machine again.
fn again(mut run: Run, arguments: &[&str]) -> Run {
    let folder = std::mem::replace(&mut run.folder, Folder::new());
    drop(run);
    Run::in_folder(folder, arguments)
}

fn a_run_that_is_drained_ends_its_sources_and_works_off_what_there_is(kind: BrokerKind) {
    let server = server(kind);
    // What a source has emitted is worked off: a fast one is far ahead.
    let text = file(&server, 100_000_000, SLOW).replace("[stages.work]", "sleep = '8ms'\n[stages.work]");
    let mut machines = [machine(&text, "read"), machine(&text, "read,work"), machine(&text, "work,write")];
    let lines = |run: &Run| numbers(run).len() as u64;
    wait_until("some items", || (lines(&machines[2]) > 20).then_some(()));
    let looker = Looker::new(&text);
    wait_until("all machines", || (ids(&looker.status(), "alive").len() == 3).then_some(()));
    let said = looker.tell(&["drain", "--all", "pipeline.toml"]);
    assert_eq!(said, "3 machines of pipeline told to stop\n");
    for run in &mut machines {
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        let said = run.stderr();
        assert!(said.contains("mprun drain --all: the queues are empty, so this machine stops"), "{said}");
        assert!(!said.contains("stop --all"), "{said}");
    }
    let again = looker.ask(&["stop", "--all", "pipeline.toml"]);
    assert!(again.code == Some(1) && again.stderr.contains("has not ended (`mprun run` continues it)"));
    let secret = server.url_of("ann:s3cret");
    for (words, expected) in [
        (&["shared", "drop", &secret][..], "write `mprun shared drop PIPELINE --broker"),
        (
            &["shared", "drop", "pipeline.toml", "--broker", &secret],
            "write `mprun shared drop pipeline.toml` alone",
        ),
        (&["shared", "list", "http://ann:s3cret@db"], "an address is `redis://HOST:PORT`"),
        (&["forget", "pipeline.toml", ""], "the machine's id is empty"),
    ] {
        let said = looker.ask(words);
        assert!(said.code == Some(2) && said.stderr.contains(expected), "{words:?}: {}", said.stderr);
        assert!(!said.stderr.contains("s3cret"), "{words:?}: {}", said.stderr);
    }
    let status = looker.status();
    let queues = status["queues"].as_array().unwrap();
    let jobs = queues.iter().find(|queue| queue["name"] == "jobs").unwrap();
    assert!(queues.iter().all(|queue| queue["waiting"] == 0 && queue["leased"] == 0), "{status}");
    assert!(jobs["put"].as_u64().unwrap() > 20, "{status}");
    assert_eq!(jobs["put"], lines(&machines[2]), "{status}");
    assert!(status["run"]["ended"].is_null(), "{status}");
}

fn a_machine_that_was_away_obeys_once_it_is_there_again(kind: BrokerKind) {
    let server = server(kind);
    let text = file(&server, 100_000_000, SLOW);
    let mut run = machine(&text, "read,work,write");
    wait_until("some items", || (numbers(&run).len() > 5).then_some(()));
    let all = process::in_folder(run.folder.path());
    signal_all(&all, libc::SIGSTOP);
    let looker = Looker::new(&text);
    looker.tell(&["stop", "--all", "pipeline.toml"]);
    signal_all(&all, libc::SIGCONT);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("mprun stop --all: this machine stops"), "{}", run.stderr());
    for refused in
        [&["stop", "--all", "pipeline.toml", "read"][..], &["stop", "--all", "--now", "pipeline.toml"]]
    {
        assert_eq!(looker.ask(refused).code, Some(2));
    }
}

on_both!(
    all_machines_stop_and_the_run_goes_on_where_they_start_again,
    a_run_that_is_drained_ends_its_sources_and_works_off_what_there_is,
    a_machine_that_was_away_obeys_once_it_is_there_again,
    five_machines_are_summed_and_each_is_there_with_what_it_runs,
    one_machine_is_seen_until_its_run_has_ended_and_after_that,
    letters_of_shared_queues_count_as_long_as_the_broker_has_them,
    a_killed_machine_falls_silent_is_named_and_struck_off_and_its_items_are_done_by_another,
    a_stopped_machine_that_was_struck_off_is_refused_when_it_goes_on,
    a_machine_says_since_when_the_broker_is_away_and_who_asks_the_broker_gets_an_error,
    a_machine_waits_while_the_broker_refuses_its_secret_and_goes_on_with_the_right_one,
    a_machine_waits_for_a_server_that_is_unfit_in_the_middle_of_a_run,
    a_broker_that_is_full_is_said_and_seen_until_it_has_room,
    dead_letters_in_the_broker_are_seen_to_from_any_machine,
    letters_of_a_run_that_has_ended_are_worked_off_by_the_next_run_of_the_file,
    letters_of_a_queue_that_the_file_has_no_more_are_shown_and_not_put_back,
    letters_of_an_earlier_run_are_listed_and_put_into_the_run_that_goes_on,
    a_retry_that_is_killed_loses_no_letter_and_puts_none_twice,
    a_letter_of_a_run_that_has_ended_may_be_dropped,
    a_pipeline_is_dropped_whole_and_no_other_with_a_name_like_it,
    a_pipeline_whose_machines_are_alive_is_dropped_by_force_only_and_its_next_run_begins_anew,
);
