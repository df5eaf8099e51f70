use super::survey::{EnvFile, Folder, Found, Name, Program};
use super::*;
use crate::config::{LoadOptions, Texts, load_texts};
use crate::stage::Registry;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A folder that goes away with the test.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Home {
        let path = std::env::temp_dir().join(format!("mprun-machine-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Home(path)
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, text: &str) -> Loaded {
        let span = self.0.join("p.toml");
        let texts = Texts { main: text.to_owned(), ..Texts::default() };
        load_texts(&span, texts, &LoadOptions::default(), &Registry::builtin())
            .unwrap_or_else(|report| panic!("{report}"))
    }

    /// What is said about a stage with these keys on this machine.
    fn said(&self, keys: &str) -> String {
        match surveyed(self.load(&format!("[stages.s]\n{keys}\n"))) {
            Ok(loaded) => loaded.warnings.to_string(),
            Err(report) => report.to_string(),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_there_is_not_talked_about() {
    let home = Home::new("good");
    home.file("bin/tool", "#!/bin/sh\n", 0o755);
    home.file("e.env", "PATH=bin\nA=1\n", 0o644);
    home.file("in.txt", "1\n", 0o644);
    for keys in [
        "command = ['sh', '-c', 'true']",
        "command = ['bin/tool']\ncwd = 'bin'",
        "command = ['tool']\nenv = { PATH = 'bin' }",
        "command = ['tool']\nenv_file = 'e.env'",
        "command = ['/bin/sh']\nuser = 'root'\ngroup = 'root'",
        "command = ['/bin/sh']\nuser = '0'\ngroup = '12345'",
        "command = 'no-such-program | or-other'",
        "use = 'lines'\nwith = { path = 'in.txt' }",
        "use = 'lines'\nwith = { path = 'i*.txt' }",
        "use = 'lines'\nwith = { path = 'later.txt', follow = true }",
    ] {
        assert_eq!(home.said(keys), "", "{keys}");
    }
}

#[test]
fn what_is_missing_is_named_with_its_place_and_what_may_be_meant() {
    let home = Home::new("bad");
    home.file("bin/tool", "#!/bin/sh\n", 0o755);
    home.file("bin/text", "#!/bin/sh\n", 0o644);
    home.file("bin/dos", "#!/bin/sh\r\ntrue\r\n", 0o755);
    home.file("bin/dos2", "#!/usr/bin/env sh\r\ntrue\r\n", 0o755);
    home.file("bin/none", "#!/no/sh -e\ntrue\n", 0o755);
    home.file("run.sh", "#!/bin/sh\n", 0o755);
    home.file("e.env", "A=1\n", 0o644);
    home.file("bad.env", "A=1\nno variable\n", 0o644);
    let folder = home.0.display();
    for (keys, title, help) in [
        (
            "command = ['grepp']",
            "there is no program `grepp` in the PATH ".to_owned(),
            "did you mean `grep`?",
        ),
        (
            "command = ['run.sh']",
            "there is no program `run.sh` in the PATH ".to_owned(),
            "did you mean `./run.sh`?",
        ),
        ("command = ['tool']\nenv = { PATH = 'nowhere' }", "`tool` in the PATH nowhere".to_owned(), ""),
        ("command = ['bin/tol']", format!("there is no program {folder}/bin/tol"), "/bin/tool`?"),
        ("command = ['bin/text']", format!("{folder}/bin/text is there, but"), "`chmod +x"),
        (
            "command = ['text']\nenv = { PATH = 'bin' }",
            format!("{folder}/bin/text is there, but"),
            "`chmod +x",
        ),
        ("command = ['./bin']", format!("{folder}/bin is a folder"), ""),
        ("command = ['cat | sort']", "there is no program `cat | sort` in".to_owned(), "\"sort | uniq\""),
        (
            "command = ['bin/tool -v']",
            format!("there is no program {folder}/bin/tool -v"),
            "[\"sort\", \"-u\"]",
        ),
        (
            "command = ['bin/dos']",
            format!("the first line of {folder}/bin/dos ends with"),
            "sed -i 's/\\r$//' ",
        ),
        ("command = ['bin/dos2']", "becomes a part of `/usr/bin/env sh`".to_owned(), "line ends of Windows"),
        ("command = ['bin/none']", "there is no /no/sh, which the first line of".to_owned(), ""),
        (
            "use = 'lines'\nwith = { path = 'bin' }",
            format!("{folder}/bin is a folder"),
            "/bin/*` means all files",
        ),
        (
            "use = 'file'\ninput = 'q'\nwith = { path = 'bin' }\n[stages.c]\nuse = 'count'\noutput = 'q'",
            format!("{folder}/bin is a folder"),
            "name a file in it",
        ),
        ("command = ['bin/tool{worker}']\nprocesses = 2", format!("no program {folder}/bin/tool0"), ""),
        ("command = 'x'\ncwd = 'bim'", format!("there is no folder {folder}/bim"), "/bin`?"),
        ("command = 'x'\ncwd = 'e.env'", format!("no program can run in {folder}/e.env"), ""),
        ("command = 'x'\nuser = 'rot'", "there is no user `rot`".to_owned(), "did you mean `root`?"),
        ("command = 'x'\nuser = '4294967'", "this user has no name".to_owned(), "needs a `group`"),
        ("command = 'x'\ngroup = 'rooot'", "there is no group `rooot`".to_owned(), "did you mean `root`?"),
        ("command = 'x'\nenv_file = 'f.env'", format!("can't read env_file {folder}/f.env"), "/e.env`?"),
        ("command = 'x'\nenv_file = 'bad.env'", format!("{folder}/bad.env:2: expected NAME=value"), ""),
    ] {
        let said = home.said(keys);
        assert!(
            said.starts_with("error: ") && said.contains(&title) && said.contains(help),
            "{keys}:\n{said}"
        );
        assert!(said.contains("p.toml:") && said.contains('^'), "{keys}:\n{said}");
    }
}

#[test]
fn an_input_that_is_not_there_yet_is_only_a_warning() {
    let home = Home::new("input");
    for path in ["in.txt", "*.txt"] {
        let said = home.said(&format!("use = 'lines'\nwith = {{ path = '{path}' }}"));
        assert!(said.starts_with("warning: no file matches") && said.contains("p.toml:3:17"), "{said}");
    }
}

#[test]
fn a_folder_that_is_not_there_yet_is_only_a_warning() {
    let home = Home::new("folder");
    let said = |path: &str| {
        let sink = format!("[stages.w]\nuse = 'file'\ninput = 'q'\nwith = {{ path = '{path}' }}\n");
        let text = format!("[stages.a]\nuse = 'count'\noutput = 'q'\n{sink}");
        surveyed(home.load(&text)).unwrap().warnings.to_string()
    };
    let missing = said("no/such/out.txt");
    assert!(
        missing.contains("warning: there is no folder /") && missing.contains("p.toml:7:17"),
        "{missing}"
    );
    assert!(missing.contains("`mkdir -p /") && missing.contains("/no/such` makes it"), "{missing}");
    // Folders of paths that change are made.
    for good in ["out.txt", "no/such/{date}.txt", "no/{worker}/x", "/dev/null"] {
        assert_eq!(said(good), "", "{good}");
    }
}

#[test]
fn a_fault_of_the_defaults_is_told_once() {
    let home = Home::new("defaults");
    let text = "[defaults]\nenv_file = 'x.env'\n[stages.a]\ncommand = 'x'\n[stages.b]\ncommand = 'x'\n";
    assert_eq!(surveyed(home.load(text)).unwrap_err().faults(), 1);
}

#[test]
fn what_an_environment_file_says_is_part_of_the_pipeline() {
    let home = Home::new("variables");
    home.file("e.env", "A=1\n", 0o644);
    let load = || surveyed(home.load("[stages.s]\ncommand = 'x'\nenv_file = 'e.env'\n")).unwrap().pipeline;
    let before = load();
    assert_eq!(before, load());
    home.file("e.env", "A=2\nB=3\n", 0o644);
    let diff = crate::config::diff(&before, &load());
    let [crate::config::Named::Changed(_, change)] = diff.stages.as_slice() else { panic!("{diff:?}") };
    let said: Vec<String> = change.replaced.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["env_file changed: A, B"]);
}

/// Every answer that a machine may give.
fn found() -> Vec<Found> {
    let near = Some("other".to_owned());
    let (path, why) = (PathBuf::from("/x"), "no".to_owned());
    let variables = vec![(OsString::from("A"), OsString::from("1"))];
    let with = |set: &dyn Fn(&mut Found)| {
        let mut found = Found::default();
        set(&mut found);
        found
    };
    let name =
        |name: Name| with(&|found| (found.user, found.group) = (Some(name.clone()), Some(name.clone())));
    let program = |program: Program| with(&|found| found.program = Some(program.clone()));
    vec![
        Found::default(),
        with(&|found| found.env_file = Some(EnvFile::Good(variables.clone()))),
        with(&|found| found.env_file = Some(EnvFile::Bad { why: why.clone(), near: near.clone() })),
        with(&|found| found.folder = Some(Folder::Good)),
        with(&|found| found.folder = Some(Folder::Missing { path: path.clone(), near: None })),
        with(&|found| found.folder = Some(Folder::Bad { path: path.clone(), why: why.clone() })),
        program(Program::Good),
        program(Program::NotInPath { name: "x".into(), path: "/bin".into(), near: near.clone() }),
        program(Program::Missing { path: path.clone(), near: near.clone() }),
        program(Program::Bad { path: path.clone(), is_folder: true }),
        name(Name::Known),
        name(Name::Unknown { near }),
        name(Name::NotAnswered(why)),
        with(&|found| found.no_input = Some(path.clone())),
        with(&|found| found.no_folder = Some(path.clone())),
        with(&|found| found.no_authority = Some("none".to_owned())),
    ]
}

#[test]
fn the_files_of_the_broker_have_to_be_there() {
    let home = Home::new("broker");
    home.file("empty", "\nx\n", 0o600);
    home.file("good", "ann:w:@rd\n", 0o600);
    let text = |key: &str| {
        let queue = "[queues.q]\nshared = true\n";
        let stages = "[stages.a]\nuse = 'count'\noutput = 'q'\n[stages.b]\nuse = 'discard'\ninput = 'q'\n";
        format!("[broker]\nurl = 'rediss://db'\n{key}\n{queue}{stages}")
    };
    for (key, wrong) in [
        ("credentials_file = 'nowhere'", "nowhere: No such file"),
        ("credentials_file = 'empty'", "first line is empty"),
        ("tls_ca = 'nowhere'", "nowhere: No such file"),
    ] {
        let report = surveyed(home.load(&text(key))).unwrap_err().to_string();
        assert!(report.contains(wrong) && report.contains("p.toml:3:"), "{report}");
    }
    let loaded = surveyed(home.load(&text("credentials_file = 'good'"))).unwrap();
    let access = loaded.pipeline.broker.unwrap().read_files().unwrap();
    assert_eq!(access.url, "rediss://ann:w%3A%40rd@db");
}

#[test]
fn token_files_have_to_hold_a_token_and_should_be_for_their_owner() {
    let home = Home::new("tokens");
    home.file("short", "secret\n", 0o600);
    home.file("words", "0123456789abcdef and more\n", 0o600);
    home.file("good", "0123456789abcdef\n", 0o600);
    home.file("shown", "0123456789abcdef\n", 0o644);
    let text = |key: &str, listen: &str| {
        let stages = "[stages.a]\nuse = 'count'\noutput = 'q'\n[stages.b]\nuse = 'discard'\ninput = 'q'\n";
        format!("[control]\n{listen}\n{key}\n{stages}")
    };
    let listen = "listen = '127.0.0.1:0'";
    for key in ["token_file", "read_token_file"] {
        for (file, wrong) in [
            ("nowhere", "nowhere: No such file"),
            ("short", "short: a token has at least 16 characters"),
            ("words", "words: a token is one word"),
            (".", "this is no file"),
        ] {
            let report = surveyed(home.load(&text(&format!("{key} = '{file}'"), listen))).unwrap_err();
            assert_eq!(report.faults(), 1, "{report}");
            // A long help is in several lines.
            let report = report.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(report.contains(wrong) && report.contains("p.toml:3:"), "{report}");
            assert!(
                report.contains("head -c 24 /dev/urandom") && report.contains(&format!("without `{key}`")),
                "{report}"
            );
        }
        let loaded = surveyed(home.load(&text(&format!("{key} = 'shown'"), listen))).unwrap();
        let warning = loaded.warnings.to_string();
        assert!(warning.contains("(mode 0644)") && warning.contains("p.toml:3:"), "{warning}");
        assert!(warning.contains("chmod o= "), "{warning}");
        let loaded = surveyed(home.load(&text(&format!("{key} = 'good'"), listen))).unwrap();
        assert_eq!(loaded.warnings.to_string(), "");
        // Nobody reads it.
        assert!(surveyed(home.load(&text(&format!("{key} = 'nowhere'"), ""))).is_ok());
    }
}

#[test]
fn the_token_for_looking_must_not_be_the_one_for_everything() {
    let home = Home::new("one-token");
    for name in ["one", "copy"] {
        home.file(name, "0123456789abcdef\n", 0o600);
    }
    home.file("other", "0123456789abcdeg\n", 0o600);
    let text = |file: &str, read: &str| {
        let stages = "[stages.a]\nuse = 'count'\noutput = 'q'\n[stages.b]\nuse = 'discard'\ninput = 'q'\n";
        format!(
            "[control]\nlisten = '127.0.0.1:0'\ntoken_file = '{file}'\nread_token_file = '{read}'\n{stages}"
        )
    };
    for read in ["one", "./one", "copy"] {
        let report = surveyed(home.load(&text("one", read))).unwrap_err();
        assert_eq!(report.faults(), 1, "{report}");
        let report = report.to_string();
        assert!(report.contains("`read_token_file` holds the token of `token_file`"), "{report}");
        assert!(report.contains("p.toml:4:"), "{report}");
    }
    assert!(surveyed(home.load(&text("one", "other"))).is_ok());
}

#[test]
fn a_survey_may_come_from_another_process_as_text() {
    let home = Home::new("text");
    let text = "[stages.s]\ncommand = ['x']\nenv_file = 'e'\ncwd = 'c'\nuser = 'u'\ngroup = 'g'\n";
    for found in found() {
        let survey = Survey { stages: [("s".to_owned(), found)].into(), ..Survey::default() };
        let said: Survey = serde_json::from_str(&serde_json::to_string(&survey).unwrap()).unwrap();
        assert_eq!(said, survey);
        let verdict = |survey| match settle(home.load(text), survey) {
            Ok(loaded) => format!("{:?} {}", loaded.pipeline, loaded.warnings),
            Err(report) => report.to_string(),
        };
        assert_eq!(verdict(&said), verdict(&survey));
    }
}

#[test]
fn no_file_is_proposed_for_a_folder_and_no_error_has_a_number() {
    let home = Home::new("kinds");
    home.file("shop.env", "A=1\n", 0o644);
    let said = home.said("command = ['/bin/sh']\ncwd = 'shop.en'");
    assert!(said.contains("there is no folder") && !said.contains("did you mean"), "{said}");
    let said = home.said("command = ['/bin/sh']\nenv_file = 'shop.en'");
    assert!(said.contains(": no such file or directory\n") && said.contains("/shop.env`?"), "{said}");
}

#[test]
fn the_program_of_a_check_is_looked_for_as_that_of_the_service() {
    let home = Home::new("checks");
    home.file("bin/tool", "#!/bin/sh\n", 0o755);
    let service = "command = ['/bin/sh']\nenv = { PATH = 'bin' }\n";
    let good = "health = { command = ['tool'] }\nready = { command = 'no such line' }";
    assert_eq!(home.said(&format!("{service}{good}")), "");
    let said =
        home.said(&format!("{service}ready = {{ command = ['tol'] }}\nhealth = {{ command = ['./gone'] }}"));
    assert!(said.contains("there is no program `tol`") && said.contains("did you mean `tool`"), "{said}");
    assert!(said.contains("ready = {") && said.contains("gone"), "{said}");
}
