//! Items of command stages have their effect exactly once in the queues, whoever is killed, and whatever their
//! programs do.

mod support;

use std::time::{Duration, Instant};
use support::{Run, process};

const STORMY: &str = "[defaults]\nattempts = 200\nretry = { delay = '1ms', max = '5ms' }\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";

/// A cheap generator: no test needs good randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }
}

/// Kills the stage's workers, their programs, or both, every few milliseconds until the run has ended: more than five.
fn storm(run: &mut Run, stage: &str) {
    let mut dice = Dice(u64::from(run.pid()));
    let (mut kills, start) = (0, Instant::now());
    while run.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(300), "the run hangs:\n{}", run.stderr());
        let workers = run.workers(stage);
        if !workers.is_empty() {
            let worker = workers[dice.roll(workers.len())];
            let programs = process::children(worker);
            let victims = match dice.roll(3) {
                0 => vec![worker],
                1 => programs,
                _ => [programs, vec![worker]].concat(),
            };
            kills += victims.iter().filter(|&&pid| process::kill(pid, libc::SIGKILL)).count() as u32;
        }
        std::thread::sleep(Duration::from_millis(3 + dice.roll(25) as u64));
    }
    assert!(kills > 5, "only {kills} kills");
}

/// Runs the numbers 1 to `n` through the stage in the middle; what comes out, in order of size.
fn through_a_storm(n: u64, queues: &str, stage: &str) -> Vec<String> {
    let mut run = Run::start(&format!(
        "{STORMY}[queues.a]\ncapacity = 64\n[queues.b]\n{queues}\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\n\
         [stages.work]\ninput = 'a'\noutput = 'b'\nprocesses = 2\n{stage}\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
    ));
    storm(&mut run, "work");
    let mut lines = run.finish();
    lines.sort_by_key(|line| (line.len(), line.clone()));
    lines
}

fn numbers(from: u64, to: u64) -> Vec<String> {
    (from..=to).map(|n| n.to_string()).collect()
}

#[test]
fn each_item_comes_out_once_though_workers_and_programs_are_killed() {
    let stage = "command = ['printf', '{}\\n1{}\\n']\nmode = 'each'";
    let lines = through_a_storm(700, "capacity = 16", stage);
    let mut expected: Vec<String> = (1..=700).flat_map(|n: u64| [n.to_string(), format!("1{n}")]).collect();
    expected.sort_by_key(|line| (line.len(), line.clone()));
    assert_eq!(lines, expected);
}

#[test]
fn batches_come_out_once_though_their_outputs_never_fit_at_once() {
    // A program that answers otherwise every time: a second try must not be mixed with a first.
    let stage =
        "command = \"while read n; do echo $n; echo $n-$$$$ >/dev/null; done\"\nmode = 'each'\nbatch = 100";
    assert_eq!(through_a_storm(20_000, "capacity = 3", stage), numbers(1, 20_000));
}

#[test]
fn answers_come_out_once_though_workers_and_programs_are_killed() {
    let stage = "command = \"while read n; do echo $n; done\"\nmode = 'reply'";
    assert_eq!(through_a_storm(60_000, "capacity = 30", stage), numbers(1, 60_000));
}

#[test]
fn answers_of_many_items_come_out_whole_and_once() {
    let stage = "command = \"while read n; do echo $n; echo 1$n; echo 2$n; echo; done\"\n\
                 mode = 'reply'\nreply = 'until-empty'";
    let lines = through_a_storm(15_000, "capacity = 2", stage);
    let mut expected: Vec<String> =
        (1..=15_000u64).flat_map(|n| [n.to_string(), format!("1{n}"), format!("2{n}")]).collect();
    expected.sort_by_key(|line| (line.len(), line.clone()));
    assert_eq!(lines, expected);
}

/// Speaks `framing = "mprun"`, in a language that starts fast enough to get anything done between two kills: answers
/// several items at once, each with two outputs, and fails every tenth item at its first attempt.
const PERL: &str = r"
my ($in, $out) = ('', '');
while (sysread(STDIN, $in, 65536, length $in)) {
    while (length $in >= 8 and length $in >= 4 + unpack('N', $in)) {
        my ($length, $attempt) = unpack('NN', $in);
        my $item = substr($in, 8, $length - 4);
        substr($in, 0, 4 + $length) = '';
        $out .= pack('N/a*', 'o' . $item);
        $out .= $attempt == 1 && $item % 10 == 3 ? pack('N/a*', 'fnot yet') : pack('N/a*', 'o1' . $item) . pack('N/a*', 'e');
    }
    syswrite(STDOUT, $out);
    $out = '';
}
";

#[test]
fn a_program_that_says_how_it_went_has_its_effect_once() {
    let script = PERL.replace('$', "$$");
    let stage = format!("command = ['perl', '-e', \"\"\"{script}\"\"\"]\nframing = 'mprun'");
    let lines = through_a_storm(20_000, "capacity = 30", &stage);
    let mut expected: Vec<String> = (1..=20_000u64).flat_map(|n| [n.to_string(), format!("1{n}")]).collect();
    expected.sort_by_key(|line| (line.len(), line.clone()));
    let differs = (0..expected.len().max(lines.len())).find(|&i| lines.get(i) != expected.get(i));
    assert!(
        differs.is_none(),
        "{} lines; {:?}",
        lines.len(),
        differs.map(|i| (lines.get(i), expected.get(i)))
    );
}

#[test]
fn a_program_that_answers_otherwise_each_time_still_answers_once() {
    // Each try says its attempt. Of every item all outputs must be of one and the same try.
    let mut run = Run::start(&format!(
        "{STORMY}[queues.a]\ncapacity = 8\n[queues.b]\ncapacity = 1\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 300 }}\noutput = 'a'\n\
         [stages.work]\ninput = 'a'\noutput = 'b'\nprocesses = 2\nmode = 'each'\n\
         command = ['sh', '-c', 'for i in 1 2 3 4 5; do echo $1 $$$$ $i; done', 'sh', '{{}}']\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
    ));
    storm(&mut run, "work");
    let lines = run.finish();
    assert_eq!(lines.len(), 1500);
    let mut tries = std::collections::BTreeMap::<String, Vec<(String, String)>>::new();
    for line in &lines {
        let [item, pid, i] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        tries.entry(item.into()).or_default().push((pid.to_owned(), i.to_owned()));
    }
    assert_eq!(tries.len(), 300);
    for (item, outputs) in tries {
        let expected: Vec<_> = (1..=5).map(|i| (outputs[0].0.clone(), i.to_string())).collect();
        assert_eq!(outputs, expected, "item {item}");
    }
}
