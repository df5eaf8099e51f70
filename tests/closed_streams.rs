//! Standard streams that are closed (`>&-`, `<&-`) or full: what should go there is not gone without a word.

mod support;

use std::process::{Command, Stdio};
use support::{Folder, Said, command};

const PRINTS: &str = "[stages.count]\nuse = 'count'\nwith = { to = 3 }\n";
const READS: &str =
    "[stages.read]\nuse = 'stdin'\noutput = 'a'\n[stages.drop]\nuse = 'discard'\ninput = 'a'\n";
const WRITES: &str = "[stages.count]\nuse = 'count'\nwith = { to = 3 }\noutput = 'a'\n\
                      [stages.write]\nuse = 'file'\nwith = { path = 'out' }\ninput = 'a'\n";
const PROGRAM: &str = "[stages.say]\ncommand = 'echo hello'\ngive_up = { restarts = 0, within = '1m' }\n";

/// `mprun ARGUMENTS` in a folder with this pipeline.toml, as a shell starts it.
fn shell(folder: &Folder, arguments: &str) -> Said {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$1\" {arguments}"), "sh", &support::binary()]);
    let plain = command(folder);
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn run(pipeline: &str, streams: &str) -> (Folder, Said) {
    let folder = Folder::new();
    folder.file("pipeline.toml", pipeline);
    let said = shell(&folder, &format!("pipeline.toml {streams}"));
    (folder, said)
}

#[test]
fn a_pipeline_that_needs_a_closed_stream_says_so_at_once() {
    for (pipeline, streams, why) in [
        (PRINTS, ">&-", "standard output is closed, and stage count prints there"),
        (READS, "<&-", "standard input is closed, and stage read reads it"),
        (PROGRAM, ">&-", "can't write to standard output: Bad file descriptor"),
    ] {
        let (_folder, said) = run(pipeline, streams);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains(why), "{said:?}");
    }
}

#[test]
fn a_pipeline_that_needs_none_of_them_runs_without() {
    let (folder, said) = run(WRITES, "<&- >&- 2>&-");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "1\n2\n3\n");
    let (_folder, said) = run(PRINTS, "<&-");
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "1\n2\n3\n"), "{said:?}");
}

#[test]
fn a_verb_that_cannot_say_its_answer_fails() {
    let folder = Folder::new();
    folder.file("pipeline.toml", PRINTS);
    for verb in ["check pipeline.toml", "graph pipeline.toml", "schema", "--help", "--version", "ps --json"] {
        let said = shell(&folder, &format!("{verb} >&-"));
        assert_eq!(said.code, Some(1), "{verb}: {said:?}");
        assert!(said.stderr.contains("failed to write to standard output"), "{verb}: {said:?}");
    }
}

#[test]
fn a_line_that_can_print_nothing_tries_no_command_again() {
    for streams in [">/dev/full", ">&-"] {
        for order in ["", "-k"] {
            let folder = Folder::new();
            let line = format!("do {order} 'echo {{}} >> ran; echo {{}}' ::: a {streams}");
            let said = shell(&folder, &line);
            assert_eq!(said.code, Some(1), "{line}: {said:?}");
            assert!(said.stderr.contains("standard output"), "{line}: {said:?}");
            let ran = std::fs::read_to_string(folder.path().join("ran")).unwrap_or_default();
            let is_refused = said.stderr.contains("standard output is closed");
            assert_eq!(ran, if is_refused { "" } else { "a\n" }, "{line}: {said:?}");
        }
    }
}

#[test]
fn a_run_whose_programs_output_found_no_room_is_no_success() {
    let pipeline = "[stages.count]\nuse = 'count'\nwith = { to = 3 }\noutput = 'a'\n\
                    [stages.say]\ncommand = ['cat']\ninput = 'a'\n";
    let (_folder, said) = run(pipeline, ">/dev/full");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("can't write to standard output: No space left on device"), "{said:?}");
    assert!(said.stderr.contains("items that its program was given may be lost"), "{said:?}");
}
