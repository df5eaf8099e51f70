//! `mprun check --online` against real servers.

use crate::server::{SAFE, Server};
use crate::support::{Folder, binary, wait_until};
use mprun::broker::BrokerKind;
use std::process::{Command, Output};

fn check(address: &str, broker_keys: &str, queue: &str) -> (Option<i32>, String, String) {
    let folder = Folder::new();
    let text = format!(
        "[broker]\nurl = \"{address}\"\n{broker_keys}\n[queues.{queue}]\nshared = true\n[stages.read]\nuse = \"count\"\n\
         with = {{ to = 3 }}\noutput = \"{queue}\"\n[stages.work]\nuse = \"discard\"\ninput = \"{queue}\"\n"
    );
    folder.file("secret", "pass:w@rd\n");
    let file = folder.file("jobs.toml", &text);
    let Output { status, stdout, stderr } =
        Command::new(binary()).args(["check", "--online"]).arg(file).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_server_that_takes_the_pipeline_is_good_and_nothing_is_changed_there() {
    let server = Server::start(SAFE);
    let address = server.url();
    for queue in ["jobs", "others"] {
        let (code, stdout, stderr) = check(&address, "", queue);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.contains("ok: 2 stages, 1 queue"), "{stdout}");
    }
}

#[test]
fn what_a_server_may_lose_is_a_fault_or_a_warning() {
    let forgets = Server::start(&[]);
    let address = forgets.url();
    let (code, stdout, stderr) = check(&address, "", "jobs");
    assert!(code == Some(2) && stdout.is_empty() && stderr.contains("append-only file"), "{stderr}");
    let (code, stdout, stderr) = check(&address, "allow_loss = true", "jobs");
    assert!(code == Some(0) && stdout.contains("ok:") && stderr.contains("warning: "), "{stderr}");
    let a_second = Server::start(&["--appendonly", "yes"]);
    let (code, _, stderr) = check(&a_second.url(), "", "jobs");
    assert!(code == Some(0) && stderr.contains("everysec"), "{stderr}");
}

#[test]
fn a_server_that_refuses_every_write_is_a_fault() {
    let server = Server::start(&[SAFE, &["--save", "3600 1"]].concat());
    // Its snapshot finds no place, and from then on it takes nothing.
    std::fs::create_dir(server.store().with_file_name("dump.rdb")).unwrap();
    server.ask("SET x y");
    wait_until("the refusal", || {
        server.ask("BGSAVE");
        server.ask("SET x y").starts_with("-MISCONF").then_some(())
    });
    let (code, stdout, stderr) = check(&server.url(), "", "jobs");
    assert!(code == Some(1) && stdout.is_empty() && stderr.contains("MISCONF"), "{code:?}: {stdout}{stderr}");
}

#[test]
fn copies_where_there_is_one_server_are_a_fault_that_names_the_key() {
    let server = Server::safe(BrokerKind::Nats);
    let (code, stdout, stderr) = check(&server.url(), "stream_replicas = 3", "jobs");
    assert!(code == Some(2) && stdout.is_empty(), "{stdout}");
    assert!(stderr.contains("write `stream_replicas = 1`"), "{stderr}");
}

#[test]
fn a_password_opens_the_server_and_is_never_shown() {
    let words: Vec<&str> = [SAFE, &["--requirepass", "w@rd"]].concat();
    let server = Server::start(&words);
    let port = server.port;
    let user = format!("redis://127.0.0.1:{port}");
    for (address, keys, expected) in [
        (format!("redis://:w%40rd@127.0.0.1:{port}"), "", 0),
        (format!("redis://:wr0ng@127.0.0.1:{port}"), "", 2),
        (user.clone(), "", 2),
        // A file with a user that the server does not have.
        (user.clone(), "credentials_file = \"secret\"", 2),
        (user, "credentials_file = \"nowhere\"", 2),
    ] {
        let (code, stdout, stderr) = check(&address, keys, "jobs");
        assert_eq!(code, Some(expected), "{address} {keys}: {stderr}");
        for secret in ["w@rd", "w%40rd", "wr0ng"] {
            assert!(!stderr.contains(secret) && !stdout.contains(secret), "{address} {keys}: {stderr}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_no_fault_of_the_file() {
    let server = Server::start(SAFE);
    let address = server.url();
    drop(server);
    let (code, stdout, stderr) = check(&address, "", "jobs");
    assert!(code == Some(1) && stdout.is_empty() && stderr.contains("can't be reached"), "{stderr}");
}

#[test]
fn a_nats_server_is_looked_at_as_well() {
    let server = Server::safe(BrokerKind::Nats);
    let (code, stdout, stderr) = check(&server.url(), "", "jobs");
    assert!(code == Some(0) && stdout.contains("ok:") && stderr.contains("sync_interval"), "{stderr}");
    let forgets = Server::nats(&[], "");
    let (code, stdout, stderr) = check(&forgets.url(), "", "jobs");
    assert!(code == Some(2) && stdout.is_empty() && stderr.contains("JetStream is not enabled"), "{stderr}");
    let guarded = Server::nats(&["-js", "--user", "pass", "--pass", "w@rd"], "");
    let (code, _, stderr) = check(&guarded.url(), "credentials_file = \"secret\"", "jobs");
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = check(&guarded.url_of("t0ken"), "", "jobs");
    assert!(code == Some(2) && !format!("{stdout}{stderr}").contains("t0ken"), "{stdout}{stderr}");
}

#[test]
fn a_key_that_something_else_has_written_is_named() {
    let server = Server::start(SAFE);
    for (key, command, words) in [
        ("{mprun/jobs}:pipeline", "SADD KEY x", "it is a set, where this pipeline has a hash"),
        ("{mprun/jobs}:runs", "SET KEY x", "it is a string, where this pipeline has a set"),
        ("{mprun/jobs}:1:q:jobs:letters", "RPUSH KEY x", "it is a list, where this pipeline has a stream"),
    ] {
        server.ask(&command.replace("KEY", key));
        let (code, stdout, stderr) = check(&server.url(), "", "jobs");
        let is_named = stderr.contains(&format!("the key {key}: ")) && stderr.contains(words);
        assert!(code == Some(2) && stdout.is_empty() && is_named, "{key}: {stderr}");
        assert_eq!(check(&server.url(), "prefix = \"shop\"", "jobs").0, Some(0));
        server.ask(&format!("DEL {key}"));
    }
    assert_eq!(check(&server.url(), "", "jobs").0, Some(0));
}

/// The server would refuse the pipeline's stream, and not say for which other one.
#[test]
fn a_stream_that_takes_the_pipelines_subjects_is_named() {
    let server = Server::safe(BrokerKind::Nats);
    crate::run(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let stream = "{\"name\": \"ALL\", \"subjects\": [\"mprun.>\"], \"storage\": \"memory\"}";
        client.request("$JS.API.STREAM.CREATE.ALL", stream.into()).await.unwrap();
    });
    let (code, stdout, stderr) = check(&server.url(), "", "jobs");
    assert!(code == Some(2) && stdout.is_empty(), "{stderr}");
    assert!(
        stderr.contains("the stream ALL there takes mprun.jobs.request") && stderr.contains("mprun.>"),
        "{stderr}"
    );
    let (code, _, stderr) = check(&server.url(), "prefix = \"shop\"", "jobs");
    assert_eq!(code, Some(0), "{stderr}");
}
