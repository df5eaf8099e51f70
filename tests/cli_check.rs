//! The command line, through the real program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn mprun(args: &[&str]) -> Output {
    command(args).output().expect("run mprun")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mprun"));
    command.args(args).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A new, empty folder.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("make a folder");
    path
}

#[test]
fn a_good_file_is_one_line() {
    let output = mprun(&["check", "pipelines/even_consumer.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "pipelines/even_consumer.toml: ok: 2 stages, 1 queue, 3 processes\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn every_file_is_checked_also_after_a_bad_one() {
    let output = mprun(&["check", "tests/config_errors/ring.toml", "pipelines/even_consumer.toml", "tests"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).contains("even_consumer.toml: ok"));
    let said = text(&output.stderr);
    assert!(said.contains("wait for each other") && said.contains("tests is a folder"), "{said}");
    assert!(said.contains("tests/config_errors/ring.toml: 1 fault\n"), "{said}");
}

#[test]
fn a_run_of_a_bad_file_exits_2_and_says_why() {
    let output = mprun(&["tests/config_errors/ring.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("ring.toml:3:9"), "{}", text(&output.stderr));
}

#[test]
fn a_missing_file_names_its_neighbour() {
    for (given, meant) in [
        ("pipelines/even_consumr.toml", "pipelines/even_consumer.toml"),
        ("pipelines/even_consumer", "pipelines/even_consumer.toml"),
    ] {
        let output = mprun(&["check", given]);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            text(&output.stderr).contains(&format!("did you mean `{meant}`?")),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn what_is_no_pipeline_file_is_refused_with_its_reason() {
    let folder = folder("refused");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("write a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let large = file("large.toml", &vec![b'#'; (1 << 20) + 1]);
    let not_utf8 = file("latin1.toml", b"name = \"gr\xf6\xdfe\"\n");
    let empty = file("empty.toml", b"");
    let parent = folder.to_str().expect("a path in UTF-8");
    let inside = format!("{empty}/x.toml");
    for (path, reason) in [
        (large.as_str(), "larger than 1 MiB"),
        (&not_utf8, "not UTF-8: byte 10 (line 1) is 0xf6"),
        (&empty, "is empty"),
        (parent, "is a folder, not a file"),
        (&inside, "not a directory"),
        ("/dev/zero", "larger than 1 MiB"),
        ("/dev/null", "is empty"),
    ] {
        let output = mprun(&["check", path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert!(said.contains(reason), "{path}: {said}");
    }
}

#[test]
fn a_file_is_held_against_the_machine_unless_only_its_syntax_is_wanted() {
    let file = folder("machine").join("x.toml");
    fs::write(
        &file,
        "[stages.a]\ncommand = ['grepp', 'x']\n[stages.b]\nuse = 'lines'\nwith = { path = 'no.txt' }\n",
    )
    .expect("write a file");
    let path = file.to_str().expect("a path in UTF-8");
    let output = mprun(&["check", path]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    assert!(said.contains("x.toml:2:12") && said.contains("did you mean `grep`?"), "{said}");
    assert!(said.contains("x.toml:5:17") && said.contains("warning: no file matches"), "{said}");
    assert!(said.ends_with(": 1 fault\n"), "{said}");
    let output = mprun(&["check", "--syntax", path]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let said = text(&output.stdout);
    assert!(said.contains("x.toml: ok: 1 stage, 1 service"), "{said}");
}

#[test]
fn a_file_that_may_not_be_read_says_so() {
    let path = folder("unreadable").join("x.toml");
    fs::write(&path, "name = \"x\"").expect("write a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("set the mode");
    let path = path.to_str().expect("a path in UTF-8");
    let output = match fs::read(path) {
        Err(_) => mprun(&["check", path]),
        // Root reads everything, but for root without its capabilities.
        Ok(_) => Command::new("setpriv")
            .args([
                "--bounding-set=-dac_override,-dac_read_search",
                env!("CARGO_BIN_EXE_mprun"),
                "check",
                path,
            ])
            .output()
            .expect("run setpriv"),
    };
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("permission denied"), "{}", text(&output.stderr));
}

#[test]
fn bad_usage_exits_2_and_help_0() {
    for (args, code) in [
        (&["--help"][..], 0),
        (&["check", "--help"], 0),
        (&["--version"], 0),
        (&[], 2),
        (&["check"], 2),
        (&["--no-such-option"], 2),
        (&["graph", "x.toml", "--format", "ascii"], 2),
        (&["chekc", "x.toml"], 2),
        (&["run"], 2),
        (&["no-such-file.toml"], 2),
    ] {
        let output = mprun(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let (said, silent) =
            if code == 0 { (output.stdout, output.stderr) } else { (output.stderr, output.stdout) };
        assert!(!said.is_empty() && silent.is_empty(), "{args:?}");
    }
}

#[test]
fn a_verb_with_a_typo_is_recognized() {
    let output = mprun(&["chekc", "x.toml"]);
    assert!(text(&output.stderr).contains("did you mean `mprun check`?"), "{}", text(&output.stderr));
}

#[test]
fn a_name_without_its_ending_is_recognized_and_so_is_help_of_a_verb_with_a_typo() {
    let folder = folder("ending");
    fs::write(folder.join("shop.toml"), "").expect("write a file");
    let output = command(&["shop"]).current_dir(&folder).output().expect("run mprun");
    assert!(text(&output.stderr).contains("did you mean `mprun shop.toml`?"), "{}", text(&output.stderr));
    let output = mprun(&["help", "dead", "lsit"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("did you mean `mprun help dead list`?"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn without_systemd_there_is_nothing_to_uninstall() {
    if !std::path::Path::new("/run/systemd/system").exists() {
        let said = text(&mprun(&["service", "uninstall", "shop"]).stderr);
        assert!(said.contains("no service to remove") && !said.contains("mprun run"), "{said}");
    }
}

#[test]
fn a_file_named_like_a_verb_can_be_run() {
    let folder = folder("verb");
    fs::write(folder.join("check"), "[stages.a]\nuse = \"radnom\"\n").expect("write a file");
    for args in [&["./check"][..], &["run", "check"], &["--", "check"]] {
        let output = command(args).current_dir(&folder).output().expect("run mprun");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("did you mean \"random\"?"), "{}", text(&output.stderr));
    }
}

#[test]
fn init_writes_a_good_file_and_never_over_another() {
    let folder = folder("init");
    let run = |args: &[&str]| command(args).current_dir(&folder).output().expect("run mprun");
    assert_eq!(run(&["init", "new/deep"]).status.code(), Some(0));
    let check = run(&["check", "new/deep/pipeline.toml"]);
    assert_eq!(text(&check.stderr), "");
    assert_eq!(check.status.code(), Some(0));
    // The schema that the file names is there, and is the one of this version.
    let written = fs::read_to_string(folder.join("new/deep/pipeline.toml")).expect("read it");
    let named = written.lines().next().and_then(|line| line.strip_prefix("#:schema ./")).expect("a schema");
    let schema = fs::read_to_string(folder.join("new/deep").join(named)).expect("read the schema");
    assert_eq!(schema, text(&run(&["schema"]).stdout));
    assert!(schema.contains("\"$id\": \"urn:mprun:"), "{schema:.300}");

    fs::write(folder.join("pipeline.toml"), "mine").expect("write a file");
    let again = run(&["init"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("pipeline.toml is there already"), "{}", text(&again.stderr));
    assert_eq!(fs::read_to_string(folder.join("pipeline.toml")).expect("read it"), "mine");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    for args in
        [&["schema"][..], &["--help"], &["completions", "bash"], &["graph", "pipelines/even_consumer.toml"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command(args).stdout(writer).output().expect("run mprun");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for args in [&["schema"][..], &["--help"], &["check", "pipelines/even_consumer.toml"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("open /dev/full");
        let output = command(args).stdout(full).output().expect("run mprun");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.contains("failed to write to standard output: no space left"), "{said}");
    }
}

#[test]
fn a_pipeline_is_drawn() {
    let drawing = |format: &str| {
        let output = mprun(&["graph", "tests/graph.toml", "--format", format]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        text(&output.stdout)
    };
    assert_eq!(drawing("text"), include_str!("graph.txt"));
    assert_eq!(drawing("mermaid"), include_str!("graph.mmd"));
    assert_eq!(drawing("dot"), include_str!("graph.dot"));
    assert_eq!(drawing("svg"), include_str!("graph.svg"));
}

/// A chain of stages, with a line over several of them and one against the flow.
fn long_flow(steps: usize) -> String {
    let step = |n: usize| {
        let (first, last) = (n == 0, n == steps - 1);
        let input = match n {
            0 => String::new(),
            1 => "input = ['q0', 'again']\n".to_owned(),
            n if n + 2 == steps => format!("input = ['q{}', 'far']\n", n - 1),
            n => format!("input = 'q{}'\n", n - 1),
        };
        let output = match n {
            n if n == steps - 1 => String::new(),
            2 => "output = ['q2', 'far']\n".to_owned(),
            n if n + 2 == steps => format!("output = ['q{n}', 'again']\n"),
            n => format!("output = 'q{n}'\n"),
        };
        let work = match (first, last) {
            (true, _) => "use = 'count'\n",
            (_, true) => "use = 'discard'\n",
            _ => "use = 'format'\nwith = { template = '{item}' }\n",
        };
        format!("[stages.step-{n}]\n{work}{input}{output}")
    };
    (0..steps).map(step).collect()
}

/// The numbers in the attributes of a tag.
fn numbers(tag: &str) -> Vec<f64> {
    tag.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '-')
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[test]
fn a_long_flow_is_drawn_in_rows_that_fit_a_document() {
    let file = folder("rows").join("p.toml");
    for steps in [6, 9, 40] {
        fs::write(&file, long_flow(steps)).expect("write the pipeline");
        let output = mprun(&["graph", file.to_str().unwrap(), "--format", "svg"]);
        let picture = text(&output.stdout);
        let view = picture.split("viewBox=\"").nth(1).expect("a picture").split('"').next().unwrap();
        let [_, _, width, height] = numbers(view)[..] else { panic!("{view}") };
        assert!(width <= 1200.0, "{steps}: {view}");
        let tags = |name: &str| {
            let begin = format!("\n<{name}");
            let all = picture.split(&begin).skip(1);
            all.map(|rest| rest.split('>').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let boxes: Vec<[f64; 4]> = picture
            .split("<rect class=")
            .skip(1)
            .map(|rest| {
                let [x, y, width, height, _] = numbers(rest.split('>').next().unwrap())[..] else {
                    panic!("{rest}")
                };
                [x, y, x + width, y + height]
            })
            .collect();
        assert_eq!(boxes.len(), 2 * steps + 1);
        for (n, a) in boxes.iter().enumerate() {
            assert!(a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width && a[3] <= height, "{steps}: {a:?}");
            for b in &boxes[n + 1..] {
                let meet = a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
                assert!(!meet, "{steps}: {a:?} {b:?}");
            }
        }
        let lines = tags("path d=");
        assert_eq!(lines.len(), 2 * steps + 2);
        for line in lines {
            let places = numbers(&line);
            let inside =
                places.chunks(2).all(|at| at[0] >= 0.0 && at[0] <= width && at[1] >= 0.0 && at[1] <= height);
            assert!(inside, "{steps}: {line} {view}");
            // It begins at a box, and its arrow points to one.
            let ([x, y], [to_x, to_y]) =
                ([places[0], places[1]], [places[places.len() - 2], places[places.len() - 1]]);
            let is_at = |x: f64, y: f64| {
                let near =
                    |a: &[f64; 4]| x > a[0] - 3.0 && x < a[2] + 3.0 && y > a[1] - 3.0 && y < a[3] + 3.0;
                boxes.iter().any(near)
            };
            assert!(is_at(x, y) && is_at(to_x, to_y), "{steps}: {line}");
        }
    }
}

#[test]
fn a_picture_has_no_script_and_what_a_file_says_is_text_in_it() {
    let file = folder("picture").join("p.toml");
    let pipeline = "[stages.a]\ncommand = ['<script>alert(1)</script>&\"']\nstdout = 'null'\n";
    fs::write(&file, pipeline).expect("write the pipeline");
    let output = mprun(&["graph", file.to_str().unwrap(), "--format", "svg"]);
    let picture = self::text(&output.stdout);
    assert!(picture.contains("&lt;script&gt;alert(1)") && picture.contains("&amp;&quot;"), "{picture}");
    assert!(!picture.contains("<script"), "{picture}");
}

#[test]
fn every_shell_gets_a_script_that_asks_mprun() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = mprun(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = text(&output.stdout);
        assert!(script.contains("MPRUN_COMPLETE"), "{shell}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let output = mprun(&["check", "tests/config_errors/ring.toml"]);
    assert!(!output.stderr.contains(&0x1b));
}
