//! What is secret in a pipeline file comes out nowhere: each output of each verb is searched for it.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use support::pty::Pty;
use support::{Folder, Run, command, wait_until};

/// Each stands once in the file.
const SECRETS: [&str; 12] = [
    "pass4ann",
    "p4thT0kenA1b2C3d4E5",
    "queryT0ken",
    "anyHeader7",
    "tableHeader8",
    "readyKey9",
    "cmdToken10",
    "envPassword11",
    "hdrOfCurl12",
    "lineOption13",
    "lineAddress14",
    "lineUser15",
];

/// The file, with another value in place of each secret for `other`; the fault for `faulty`: a key in the line with secrets that
/// there is not.
fn file(other: bool, faulty: Option<usize>) -> String {
    let secret = |n: usize| if other { format!("{}x", SECRETS[n]) } else { SECRETS[n].to_owned() };
    let bad = |n: usize| if faulty == Some(n) { ", nonsense = 1" } else { "" };
    format!(
        "[stages.list]\nuse = 'list'\nwith = {{ items = ['1'] }}\noutput = 'items'\n\
         [stages.send]\nuse = 'http'\ninput = 'items'\nattempts = 1\nwhen_failing = 'dead-letter'\n\
         with = {{ url = 'http://ann:{}@127.0.0.1:1/hook/{}?token={}', headers = {{ X-Any = '{}' }}{} }}\n\
         [stages.more]\nuse = 'http'\ninput = 'items'\n\
         [stages.more.with]\nurl = 'http://127.0.0.1:1/'\n\
         [stages.more.with.headers]\nX-Other = '{}'{}\n\
         [stages.web]\ncommand = ['sleep', '1000', '--token', '{}', '-H', 'Authorization: Bearer {}']\n\
         env = {{ PASSWORD = '{}' }}\nhealth = {{ http = 'http://127.0.0.1:1/?key={}', every = '50ms', failures = 1000{} }}\n\
         [stages.line]\ncommand = 'sleep 1000; : --password {} http://u:{}@h; : curl -u ann:{} h'\n",
        secret(0),
        secret(1),
        secret(2),
        secret(3),
        bad(0),
        secret(4),
        if faulty == Some(1) { " nonsense" } else { "" },
        secret(6),
        secret(8),
        secret(7),
        secret(5),
        bad(2),
        secret(9),
        secret(10),
        secret(11),
    )
    .replace("sleep', '1000', '--token", "sh', '-c', 'exec sleep 1000', 'sh', '--token")
}

#[track_caller]
fn is_clean(what: &str, said: &str) {
    for secret in SECRETS {
        assert!(!said.contains(secret), "{what} shows {secret}:\n{said}");
    }
}

fn said(folder: &Folder, words: &[&str]) -> String {
    let output = command(folder).args(words).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn verbs_that_read_the_file_show_no_secret_of_it() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &file(false, None));
    let rows: [&[&str]; 8] = [
        &["check", "pipeline.toml"],
        &["check", "--syntax", "pipeline.toml", "-v"],
        &["graph", "pipeline.toml"],
        &["graph", "--format", "mermaid", "pipeline.toml"],
        &["graph", "--format", "dot", "pipeline.toml"],
        &["graph", "--format", "svg", "pipeline.toml"],
        &["export", "kubernetes", "pipeline.toml", "--image", "x:1"],
        &["service", "show", "pipeline.toml"],
    ];
    for row in rows {
        let text = said(&folder, row);
        assert!(!text.is_empty(), "{row:?}");
        is_clean(&row.join(" "), &text);
    }
    assert!(said(&folder, rows[6]).contains("would be in the ConfigMap"));
    for n in 0..3 {
        folder.file("faulty.toml", &file(false, Some(n)));
        let text = said(&folder, &["check", "--syntax", "faulty.toml"]);
        assert!(text.contains("error:") && text.contains("***"), "{n}: {text}");
        is_clean(&format!("the excerpt {n}"), &text);
    }
}

#[test]
fn an_address_with_a_slip_shows_no_password() {
    let folder = Folder::new();
    let rest = "\n[queues.q]\nshared = true\n[stages.a]\nuse = 'count'\noutput = 'q'\n[stages.b]\nuse = 'discard'\ninput = 'q'\n";
    for slip in [
        "redis//u:pass4ann@h",
        "redis:/u:pass4ann@h",
        "redis;//u:pass4ann@h",
        "redis:u:pass4ann@h",
        "u:pass4ann@h:6379",
        ":pass4ann@h:6379",
        "redis://u:pass4ann",
        "redis://u:x pass4ann@h",
        "nats//pass4ann@h",
        "u:pass4ann@redis://h",
    ] {
        for line in [
            format!("broker = '{slip}'"),
            format!("broker = {{ url = '{slip}', prefix = 1 }}"),
            format!("brokre = '{slip}'"),
        ] {
            folder.file("pipeline.toml", &(line.clone() + rest));
            let verbs: [&[&str]; 3] = [
                &["check", "pipeline.toml"],
                &["graph", "pipeline.toml"],
                &["export", "kubernetes", "pipeline.toml", "--image", "x:1"],
            ];
            for verb in verbs {
                let text = said(&folder, verb);
                assert!(!text.is_empty(), "{line}");
                is_clean(&format!("{} of {line}", verb.join(" ")), &text);
            }
        }
        let text = said(&folder, &["shared", "list", slip]);
        is_clean(slip, &text);
    }
    for line in
        ["PASSWORD = envPassword11", "PASSWORD = ['envPassword11']", "PASSWORD = \"x\\\"envPassword11\" x"]
    {
        folder.file("pipeline.toml", &format!("[stages.web]\ncommand = ['true']\nenv = {{ {line} }}\n"));
        let text = said(&folder, &["check", "--syntax", "pipeline.toml"]);
        assert!(text.contains("error:"), "{line}: {text}");
        is_clean(line, &text);
    }
}

#[test]
fn an_export_refuses_each_secret_alone_and_takes_variables() {
    let with = |line: &str| {
        format!(
            "[stages.a]\nuse = 'list'\nwith = {{ items = ['1'] }}\noutput = 'q'\n[stages.b]\nuse = 'http'\ninput = 'q'\n{line}\n"
        )
    };
    let export = |line: &str| {
        let folder = Folder::new();
        folder.file("pipeline.toml", &with(line));
        let mut export = command(&folder);
        export.args(["export", "kubernetes", "pipeline.toml", "--image", "x:1"]).env("TOKEN", "t0ken");
        let output = export.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for line in [
        "with = { url = 'http://ann:pass4ann@db/' }",
        "with = { url = 'http://db/hook/p4thT0kenA1b2C3d4E5' }",
        "with = { url = 'http://db/?token=queryT0ken' }",
        "with = { url = 'http://db/', headers = { X-Any = 'anyHeader7' } }",
        "with = { url = 'http://db/' }\n[stages.c]\ncommand = ['sleep', '1']\nenv = { PASSWORD = 'envPassword11' }",
    ] {
        let (is_good, why) = export(line);
        assert!(!is_good && why.contains("would be in the ConfigMap"), "{line}: {why}");
        is_clean(line, &why);
    }
    let plain = "with = { url = 'http://db/a/b?format=json', headers = { Authorization = 'Bearer ${TOKEN}', Accept = 'text/csv' } }";
    assert!(!export(plain).1.contains("would be in the ConfigMap"), "{}", export(plain).1);
}

/// All that a running pipeline says by its socket.
fn asked(run: &Run, path: &str) -> String {
    let mut stream = UnixStream::connect(run.socket()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_run_and_the_verbs_about_it_show_no_secret() {
    let run = Run::start(&file(false, None));
    run.wait_for_log("failed a health check (1 of 1000): http://127.0.0.1:1/?key=*********");
    run.wait_for_log("is put off");
    for row in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--check", "--json"],
        &["why"],
        &["why", "pipeline", "web"],
        &["why", "pipeline", "send"],
        &["ps"],
        &["ps", "--json"],
        &["logs"],
        &["plan"],
        &["dead", "list", "--json"],
    ] {
        is_clean(&row.join(" "), &format!("{:?}", run.ask(row)));
    }
    for path in ["/v1/status", "/metrics", "/v1/logs", "/"] {
        is_clean(path, &asked(&run, path));
    }
    let mut pty = Pty::open();
    let mut top = command(&run.folder);
    top.args(["top", "pipeline"]).env("TERM", "xterm-256color");
    pty.take(&mut top);
    let mut top = top.spawn().unwrap();
    wait_until("the web service on the screen", || pty.text().contains("web").then_some(()));
    is_clean("top", &pty.all());
    top.kill().unwrap();
    top.wait().unwrap();

    run.folder.file("next.toml", &file(true, None));
    let plan = run.tell(&["plan", "next.toml", "-p", "pipeline"]);
    assert!(plan.contains("web") && plan.contains("send"), "{plan}");
    is_clean("plan", &plan);
    run.edit(&file(false, Some(0)));
    run.wait_for_log("nonsense");
    run.edit(&file(true, None));
    run.wait_for_log("reloaded");
    is_clean("the log", &run.stderr());
    is_clean("standard output", &run.stdout());
}
