//! Routes: each item into one of several queues, by conditions; what can't be judged is a dead letter; under kills and reloads, too.

mod support;

use serde_json::Value;
use std::fs;
use std::process::Stdio;
use support::once::{STORMY, assert_stormed};
use support::storm::storm;
use support::{Folder, Run, command, wait_until};

/// `{"n": 1}`, `{"n": 2}`, …
const NUMBERED: &str =
    "use = 'count'\noutput = 'items'\nwith = { format = '{{\"n\": {item}}}', from = 1, to = ";

const ROUTES: &str = "[stages.sort]\nuse = 'route'\ninput = 'items'\nroutes = [\n\
                      { when = 'n % 3 == 0', to = 'thirds' },\n\
                      { when = 'n % 2 == 0', to = 'evens' },\n\
                      { to = 'drop' },\n]\n";

const SINKS: &str = "[stages.thirds]\nuse = 'file'\nwith = { path = 'thirds' }\ninput = 'thirds'\n\
                     [stages.evens]\nuse = 'file'\nwith = { path = 'evens' }\ninput = 'evens'\n";

fn written(run: &Run, file: &str) -> Vec<u64> {
    let text = fs::read_to_string(run.folder.path().join(file)).unwrap_or_default();
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap();
    text.lines().map(number).collect()
}

/// A source that does not end.
fn endless() -> String {
    format!("[stages.number]\n{}\nsleep = '1ms'\n", NUMBERED.replace(", to = ", " }"))
}

/// Lets the run work off what it has; the number of items that it had.
fn stop(run: &mut Run) -> u64 {
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let log = run.stderr();
    let counts = log.split("queue items: ").last().unwrap();
    let [put, done] = [" put, ", " done"]
        .map(|word| counts.split(word).next().unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(put, done, "{log}");
    put
}

fn thirds(upto: u64) -> Vec<u64> {
    (1..=upto).filter(|n| n % 3 == 0).collect()
}

fn evens(upto: u64) -> Vec<u64> {
    (1..=upto).filter(|n| n % 3 != 0 && n % 2 == 0).collect()
}

#[test]
fn each_item_goes_into_the_queue_of_its_first_rule_and_the_ledger_counts_what_is_dropped() {
    let mut run = Run::start(&format!("[stages.number]\n{NUMBERED}600 }}\n{ROUTES}{SINKS}"));
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(written(&run, "thirds"), thirds(600));
    assert_eq!(written(&run, "evens"), evens(600));
    let log = run.stderr();
    for line in [
        "stage sort: 600 done, 400 emitted",
        "queue items: 600 put, 600 done",
        "queue thirds: 200 put, 200 done",
        "queue evens: 200 put, 200 done",
    ] {
        assert!(log.contains(line), "{line}:\n{log}");
    }
}

#[test]
fn what_no_rule_fits_and_what_can_not_be_judged_is_a_dead_letter_with_its_reason() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'stdin'\noutput = 'items'\n\
         [stages.sort]\nuse = 'route'\ninput = 'items'\nroutes = [\n\
         { when = 'level == \"error\"', to = 'a' }, { when = '''\nlevel == \"slow\" &&\n  took > 5''', to = 'b' }]\n\
         [stages.a]\nuse = 'discard'\ninput = ['a', 'b']\n",
    );
    folder.file("in", "{\"level\": \"error\"}\n{\"level\": \"slow\", \"took\": \"9\"}\n{}\nnone\n");
    let mut typed = command(&folder);
    let input = fs::File::open(folder.path().join("in")).unwrap();
    typed.arg("pipeline.toml").stdin(input);
    let mut run = Run::of(folder, typed);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let letters = fs::read_to_string(run.folder.path().join("state/mprun/pipeline/dead.jsonl")).unwrap();
    let cause = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&letter["attempts"], &letter["queue"]), (&1.into(), &"items".into()), "{letter}");
        letter["cause"]["error"].as_str().unwrap().to_owned()
    };
    let causes: Vec<String> = letters.lines().map(cause).collect();
    assert_eq!(
        causes,
        [
            "rule 2: `level == \"slow\" && took > 5`, line 2, character 8: `>` does not take a text and a whole number",
            "no rule of `routes` holds for the item",
            "the item is not JSON: expected ident at line 1 column 2",
        ]
    );
}

#[test]
fn each_item_is_in_one_queue_once_though_the_workers_are_killed_again_and_again() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}[queues.thirds]\ncapacity = 20\n[queues.evens]\ncapacity = 30\n\
             [stages.read]\nuse = 'stdin'\noutput = 'items'\n{ROUTES}processes = 4\n{SINKS}"
        ),
    );
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let (parts, part) = (45, 700);
    let kills = storm(&mut run, "sort", parts, move |i| {
        (i * part + 1..=(i + 1) * part).flat_map(|n| format!("{{\"n\": {n}}}\n").into_bytes()).collect()
    });
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_stormed(kills);
    let sorted = |file: &str| {
        let mut numbers = written(&run, file);
        numbers.sort_unstable();
        numbers
    };
    let all = u64::from(parts * part);
    assert!(sorted("thirds") == thirds(all) && sorted("evens") == evens(all), "after {kills} kills");
}

#[test]
fn order_is_kept_in_each_queue_though_the_workers_are_killed_again_and_again() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}[queues.thirds]\ncapacity = 20\n[queues.evens]\ncapacity = 30\n\
             [stages.read]\nuse = 'stdin'\noutput = 'items'\n{ROUTES}processes = 4\norder = 'input'\norder_window = 8\n{SINKS}"
        ),
    );
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let (parts, part) = (20, 700);
    let kills = storm(&mut run, "sort", parts, move |i| {
        (i * part + 1..=(i + 1) * part).flat_map(|n| format!("{{\"n\": {n}}}\n").into_bytes()).collect()
    });
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let all = u64::from(parts * part);
    assert!(kills > 20, "only {kills} kills");
    assert!(
        written(&run, "thirds") == thirds(all) && written(&run, "evens") == evens(all),
        "after {kills} kills"
    );
}

#[test]
fn changed_rules_and_changed_queues_are_taken_over_without_losing_an_item() {
    let text = format!("{}{ROUTES}{SINKS}", endless());
    let mut run = Run::start(&text);
    wait_until("some items", || (!written(&run, "evens").is_empty()).then_some(()));
    let plan = |run: &Run, text: &str| {
        let file = run.folder.file("new.toml", text);
        run.tell(&["plan", file.to_str().unwrap()])
    };
    let other = text.replace("n % 2 == 0", "n % 2 == 1");
    let planned = plan(&run, &other);
    assert!(
        planned.contains("stage sort: replace workers one by one (routes: { when = 'n % 3 == 0'"),
        "{planned}"
    );
    assert!(!planned.contains("output"), "{planned}");
    run.edit(&other);
    run.wait_for_log("reloaded after");
    wait_until("an odd item", || written(&run, "evens").iter().any(|n| n % 2 == 1).then_some(()));
    let rest = other.replace("to = 'drop'", "to = 'rest'")
        + "[stages.rest]\nuse = 'file'\nwith = { path = 'rest' }\ninput = 'rest'\n";
    assert!(plan(&run, &rest).contains("queue rest: add"));
    run.edit(&rest);
    wait_until("an item of the new queue", || (!written(&run, "rest").is_empty()).then_some(()));
    let all = stop(&mut run);
    assert_eq!(written(&run, "thirds"), thirds(all));
    let (odd, rest) = (written(&run, "evens"), written(&run, "rest"));
    assert!(
        odd.iter().all(|n| n % 3 != 0) && rest.iter().all(|n| n % 3 != 0 && n % 2 == 0),
        "{odd:?} {rest:?}"
    );
}

#[test]
fn a_new_program_goes_on_with_the_rules_of_the_old_one() {
    let text = format!("{}{ROUTES}{SINKS}", endless());
    let mut run = Run::start(&text);
    wait_until("some items", || (!written(&run, "evens").is_empty()).then_some(()));
    run.signal(libc::SIGUSR2);
    run.wait_for_log("took over");
    let plan = run.tell(&["plan"]);
    assert_eq!(plan, "nothing to do: the pipeline runs as the file says\n");
    let all = stop(&mut run);
    assert!(written(&run, "thirds") == thirds(all) && written(&run, "evens") == evens(all));
}

#[test]
fn a_queue_that_is_read_no_more_ends_neither_the_stage_nor_the_others() {
    let mut run = Run::start(&format!(
        "[queues.thirds]\ncapacity = 2\n[stages.number]\n{NUMBERED}3000 }}\n{ROUTES}\
         [stages.thirds]\ncommand = ['false']\ninput = 'thirds'\ngive_up = {{ restarts = 0, within = '1m' }}\non_give_up = 'continue'\n\
         [stages.evens]\nuse = 'file'\nwith = {{ path = 'evens' }}\ninput = 'evens'\n"
    ));
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert_eq!(written(&run, "evens"), evens(3000), "{}", run.stderr());
}

#[test]
fn lines_are_parsed_and_the_others_go_to_a_queue_of_their_own() {
    let folder = Folder::new();
    let log = "10.0.0.1 200 15ms\nnone\n10.0.0.2 503 2000ms\n";
    folder.file("access.log", log);
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'lines'\nwith = { path = 'access.log' }\noutput = 'lines'\n\
         [stages.parse]\nuse = 'parse'\ninput = 'lines'\noutput = ['all', 'copy']\n\
         with = { as = 'regex', pattern = '^(?<ip>\\S+) (?<status>\\d+) (?<ms>\\d+)ms$', on_error = 'bad' }\n\
         [stages.slow]\nuse = 'filter'\nwith = { where = 'int(ms) > 1000' }\ninput = 'all'\noutput = 'slow'\n\
         [stages.write_slow]\nuse = 'file'\nwith = { path = 'slow' }\ninput = 'slow'\n\
         [stages.write_copy]\nuse = 'file'\nwith = { path = 'copy' }\ninput = 'copy'\n\
         [stages.write_bad]\nuse = 'file'\nwith = { path = 'bad' }\ninput = 'bad'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let read = |file: &str| fs::read_to_string(run.folder.path().join(file)).unwrap();
    let [first, second] = [
        "{\"ip\":\"10.0.0.1\",\"status\":\"200\",\"ms\":\"15\"}\n",
        "{\"ip\":\"10.0.0.2\",\"status\":\"503\",\"ms\":\"2000\"}\n",
    ];
    assert_eq!(
        [read("slow"), read("copy"), read("bad")],
        [second.into(), format!("{first}{second}"), "none\n".into()]
    );
}

/// A list, each element of which is searched for in the list, takes a square of time: nothing but `item_timeout` ends that.
#[test]
fn an_item_that_takes_too_long_to_judge_is_ended_by_item_timeout_and_the_others_pass() {
    let folder = Folder::new();
    let list = (0..100_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    folder.file("in", &format!("{{\"a\": [{list}]}}\n{{\"a\": [1]}}\n"));
    folder.file(
        "pipeline.toml",
        "[defaults]\nattempts = 1\nbackoff = { initial = '1ms', max = '5ms' }\n\
         [stages.read]\nuse = 'lines'\nwith = { path = 'in' }\noutput = 'items'\n\
         [stages.pick]\nuse = 'filter'\nwith = { where = 'a.all(x, x in a)' }\ninput = 'items'\noutput = 'good'\nitem_timeout = '2s'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'good'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), ["{\"a\": [1]}"]);
}
