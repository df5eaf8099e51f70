//! Items flow from stage to stage, whole and complete, and the run ends by itself when they are through.

mod support;

use support::{Folder, Run, command};

#[test]
fn a_finite_source_ends_the_whole_pipeline() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 1000 }\noutput = 'numbers'\n\
         [stages.even]\nuse = 'filter'\nwith = { keep = 'even' }\ninput = 'numbers'\n",
    );
    let expected: Vec<String> = (1..=1000).filter(|n| n % 2 == 0).map(|n| n.to_string()).collect();
    assert_eq!(run.finish(), expected);
}

#[test]
fn several_workers_see_each_item_once() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 20000 }\noutput = 'a'\nprocesses = 2\n\
         [stages.pass]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\noutput = 'b'\nprocesses = 3\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'b'\nprocesses = 2\n",
    );
    let mut numbers: Vec<u64> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20000).collect::<Vec<u64>>());
}

#[test]
fn each_of_several_outputs_gets_every_item_and_inputs_are_merged() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 500 }\noutput = ['a', 'b']\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = ['a', 'b']\n",
    );
    let mut numbers: Vec<u64> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    let twice: Vec<u64> = (1..=500).flat_map(|n| [n, n]).collect();
    assert_eq!(numbers, twice);
}

#[test]
fn items_of_every_length_arrive_whole() {
    let folder = Folder::new();
    let lengths = [0, 1, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, 100_000, 3_000_000];
    let line = |n: &usize| "x".repeat(*n);
    let text: String = lengths.iter().map(|n| line(n) + "\n").collect();
    folder.file("input", &text);
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'lines'\nwith = { path = 'input' }\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    let lines = run.finish();
    let got: Vec<usize> = lines.iter().map(String::len).collect();
    assert_eq!(got, lengths);
}

#[test]
fn binary_items_pass_unchanged() {
    let folder = Folder::new();
    let bytes: Vec<u8> =
        (0..=255u8).filter(|&byte| byte != b'\n').cycle().take(5000).chain([b'\n']).collect();
    std::fs::write(folder.path().join("input"), &bytes).unwrap();
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'lines'\nwith = { path = 'input' }\noutput = 'a'\n\
         [stages.write]\nuse = 'file'\nwith = { path = 'output' }\ninput = 'a'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    run.finish();
    assert_eq!(std::fs::read(run.folder.path().join("output")).unwrap(), bytes);
}

#[test]
fn standard_input_is_a_source() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.read]\nuse = 'stdin'\noutput = 'a'\n[stages.show]\nuse = 'filter'\nwith = { contains = '7' }\ninput = 'a'\n");
    let text: String = (0..10_000).map(|n| format!("{n}\n")).collect();
    folder.file("input", &text);
    let mut from_file = command(&folder);
    from_file.arg("pipeline.toml").stdin(std::fs::File::open(folder.path().join("input")).unwrap());
    let mut run = Run::of(folder, from_file);
    let expected: Vec<String> = (0..10_000).map(|n| n.to_string()).filter(|n| n.contains('7')).collect();
    assert_eq!(run.finish(), expected);
}

#[test]
fn a_pipe_on_standard_input_is_read_to_its_end() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.read]\nuse = 'stdin'\noutput = 'a'\n[stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'a'\n");
    let mut piped = command(&folder);
    piped.arg("pipeline.toml").stdin(std::process::Stdio::piped());
    let mut run = Run::of(folder, piped);
    let mut pipe = run.child.stdin.take().unwrap();
    let lines: Vec<String> = (0..50_000).map(|n| format!("line {n}")).collect();
    let text = lines.join("\n"); // the last one without a line end
    std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
    drop(pipe);
    assert_eq!(run.finish(), lines);
}

#[test]
fn a_capacity_of_one_two_and_a_million_all_work() {
    for capacity in [1, 2, 1_000_000] {
        let mut run = Run::start(&format!(
            "[queues.a]\ncapacity = {capacity}\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 3000 }}\noutput = 'a'\n\
             [stages.show]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\n"
        ));
        let expected: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
        assert_eq!(run.finish(), expected, "capacity {capacity}");
    }
}

#[test]
fn a_closed_standard_output_ends_the_run_quietly() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.number]\nuse = 'count'\noutput = 'a'\n[stages.show]\nuse = 'filter'\nwith = { keep = 'odd' }\ninput = 'a'\n");
    let shell = format!("{} -q pipeline.toml | head -1; echo ${{PIPESTATUS[0]}}", support::binary());
    let output = std::process::Command::new("bash")
        .args(["-c", &shell])
        .current_dir(folder.path())
        .env("XDG_STATE_HOME", folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[defaults]\ngive_up = { restarts = 1, within = '1m' }\nbackoff = { initial = '1ms', max = '2ms', reset_after = '1m' }\n\
         [stages.number]\nuse = 'count'\nwith = { to = 10 }\noutput = 'a'\n[stages.show]\nuse = 'filter'\nwith = { keep = 'odd' }\ninput = 'a'\n",
    );
    let mut full = command(&folder);
    full.arg("pipeline.toml");
    full.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    full.stderr(std::fs::File::create(folder.path().join("stderr")).unwrap());
    let status = full.status().unwrap();
    let log = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
}

#[test]
fn a_source_that_waits_ends_too_when_nobody_reads_any_more() {
    let folder = Folder::new();
    folder.file("log", "one\ntwo\n");
    folder.file("pipeline.toml", "[stages.read]\nuse = 'lines'\nwith = { path = 'log', follow = true }\noutput = 'a'\n[stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'a'\nlog_items = true\n");
    let mut follow = command(&folder);
    let (reader, writer) = std::io::pipe().unwrap();
    follow
        .arg("pipeline.toml")
        .stdout(writer)
        .stderr(std::fs::File::create(folder.path().join("stderr")).unwrap());
    let child = follow.spawn().unwrap();
    drop(follow);
    let mut run = Run::adopt(folder, child);
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(reader), &mut first).unwrap();
    assert_eq!(first, "one\n");
    // The reader is gone: the next line finds it out, and then the source waits for a third.
    let log = run.folder.path().join("log");
    std::io::Write::write_all(&mut std::fs::OpenOptions::new().append(true).open(log).unwrap(), b"three\n")
        .unwrap();
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}
