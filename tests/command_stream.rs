//! `mode = "stream"` with very much, with very long items, and with both: nothing is cut, held back or left over.

mod support;

use support::{Folder, Run, process, wait_until};

/// Items of 0 to 300 KB whose sizes never come in the same order; every fifth is long.
const MIXED: &str = "import sys\n\
    for i in range(1500):\n    size = i * 7919 % 300000 if i % 5 == 0 else i * 31 % 200\n    \
    sys.stdout.write(f'{i} ' + 'x' * size + '\\n')\n";

#[test]
fn short_and_long_items_pass_whole_and_in_their_order() {
    for framing in ["lines", "nul"] {
        let folder = Folder::new();
        folder.file("mixed.py", MIXED);
        folder.file(
            "pipeline.toml",
            &format!(
                "[stages.read]\ncommand = ['python3', 'mixed.py']\noutput = 'a'\n\
                 [stages.s]\ncommand = ['cat']\nmode = 'stream'\nframing = '{framing}'\ninput = 'a'\noutput = 'b'\n\
                 [stages.write]\ncommand = 'cat > out'\ninput = 'b'\n"
            ),
        );
        let mut run = Run::in_folder(folder, &[]);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        let out = std::fs::read_to_string(run.folder.path().join("out")).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 1500);
        for (i, line) in lines.iter().enumerate() {
            let size = if i % 5 == 0 { i * 7919 % 300_000 } else { i * 31 % 200 };
            let (number, rest) = line.split_once(' ').unwrap();
            assert_eq!((number, rest.len()), (i.to_string().as_str(), size));
        }
    }
}

/// A rest of some items waits for more of them, but only while more comes.
#[test]
fn a_few_answers_do_not_wait_for_the_end_of_an_endless_input() {
    let mut run = Run::start(
        "drain_timeout = '100ms'\n\
         [stages.y]\ncommand = ['yes', 'a line of some length']\noutput = 'a'\n\
         [stages.s]\ncommand = ['awk', 'NR <= 20000 { print NR } NR % 20000 == 0 { print \"mark\"; fflush() }']\n\
         mode = 'stream'\ninput = 'a'\noutput = 'b'\n\
         [stages.show]\ncommand = ['grep', '--line-buffered', 'mark']\ninput = 'b'\n",
    );
    wait_until("marks", || (run.lines().len() > 5).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

/// All that is leased is in the worker's hands, but only what the program has begun to read may be lost with it.
#[test]
fn long_items_that_no_program_has_begun_come_back() {
    let text = |program: &str| {
        format!(
            "[stages.n]\ncommand = ['python3', '-c', 'for i in range(40): print(i, \"x\" * 200_000, flush=True)']\n\
             output = 'a'\n[defaults]\nstop_timeout = '100ms'\n\
             [stages.s]\ncommand = [{program}]\nmode = 'stream'\ninput = 'a'\noutput = 'b'\n\
             [stages.show]\ncommand = ['cut', '-d', ' ', '-f', '1']\ninput = 'b'\n"
        )
    };
    let mut run = Run::start(&text("'sh', '-c', 'echo up >&2; exec sleep 1000'"));
    run.wait_for_log("up");
    let put = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).ok()?;
        (status["queues"][0]["put"] == 40).then_some(())
    };
    wait_until("all items are put", || put(&run.ask(&["status", "--json"]).stdout));
    run.edit(&text("'cat'"));
    let seen: Vec<u32> = run.finish().iter().map(|line| line.trim().parse().unwrap()).collect();
    // A pipe of 256 KiB holds one of them whole.
    assert!(seen.first().is_some_and(|&first| first <= 1), "{seen:?}");
    assert_eq!(seen, (seen[0]..40).collect::<Vec<u32>>(), "{}", run.stderr());
}

#[test]
fn the_memory_of_a_long_item_is_given_back() {
    let run = Run::start(
        "drain_timeout = '100ms'\n\
         [stages.n]\ncommand = ['python3', '-c', '''\nimport signal\nprint(\"x\" * 16_000_000, flush=True)\nsignal.pause()\n''']\n\
         output = 'a'\n[stages.show]\ncommand = 'cat > /dev/null'\ninput = 'a'\n",
    );
    let read = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).ok()?;
        (status["queues"][0]["put"] == 1).then_some(())
    };
    wait_until("the item", || read(&run.ask(&["status", "--json"]).stdout));
    let worker = run.workers("n")[0];
    let private = || process::private_kib(worker).filter(|&kib| kib < 8000);
    wait_until("the memory is given back", private);
}
