//! What JetStream alone has: its streams, their settings, and how they are kept small.

use crate::commits::{A, commit, emits, end, items, output, passes, stage, verdicts};
use crate::server::{self, Server, audit, layout, member};
use crate::support::Folder;
use crate::visits::visit;
use mprun::broker::{
    Access, AnyBroker, Broker, BrokerKind, Commit, Dropped, End, Fault, Full, HeldPipeline, Inventory,
    Layout, LetterPlace, MemberState, SHOWN_FOR, Verdict, Woken,
};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::process::Command;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const STREAM: &str = "mprun+test";

fn start() -> Server {
    Server::safe(BrokerKind::Nats)
}

async fn api(server: &Server, what: &str, arguments: Value) -> Value {
    let client = async_nats::connect(server.url()).await.unwrap();
    let payload = if arguments.is_null() { String::new() } else { arguments.to_string() };
    let answer = client.request(format!("$JS.API.{what}"), payload.into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Messages and bytes of the stream.
async fn size(server: &Server) -> (u64, u64) {
    let info = api(server, &format!("STREAM.INFO.{STREAM}"), Value::Null).await;
    (info["state"]["messages"].as_u64().unwrap(), info["state"]["bytes"].as_u64().unwrap())
}

async fn publish(server: &Server, subject: &str, bytes: &'static [u8]) {
    let client = async_nats::connect(server.url()).await.unwrap();
    client.request(subject.to_owned(), bytes.into()).await.unwrap();
}

async fn refused(access: &Access, layout: &Layout) -> String {
    match server::joined(access, layout, &member("m")).await {
        Err(Fault::Fatal(why) | Fault::Unfit(why) | Fault::Denied(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn a_commit_that_is_longer_than_a_message_goes_in_parts_and_is_one_all_the_same() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let (one, two) = (server.join(&layout, "one").await, server.join(&layout, "two").await);
        let long = |letter: &str, len: usize| letter.repeat(len);
        let all = ["x", &long("a", 3_000_000), "", &long("b", 1_048_500), "y"];
        assert_eq!(verdicts(&one, "read", &[emits(1, &all)]).await, [Verdict::Done]);
        assert_eq!(items(&two, A).await, all);
        two.leave().await.unwrap();
        let late = server.join(&layout, "late").await;
        let taken = late.take(A, 10, true).await.unwrap();
        assert!(taken.iter().map(|lease| &lease.item[..]).eq(all.iter().map(|item| item.as_bytes())));
        assert_eq!(verdicts(&late, "pass", &[passes(1, &taken[1])]).await, [Verdict::Done]);
        audit(&one, &layout).await;
    });
}

/// One that writes more than a snapshot is worth, and ends it all.
async fn fill_and_drain(broker: &AnyBroker, rounds: RangeInclusive<u64>) {
    let large = "x".repeat(64_000);
    for n in rounds {
        commit(broker, "fill", &[emits(n, &[&large, &large])]).await.unwrap();
        let taken = broker.take(A, 2, false).await.unwrap();
        let ends = taken.iter().map(|lease| end(A, lease.sequence)).collect();
        assert_eq!(
            verdicts(broker, "drain", &[Commit { number: n, ends, ..Commit::default() }]).await,
            [Verdict::Done]
        );
    }
}

#[test]
fn the_stream_stays_small_and_keeps_the_oldest_letter_and_who_joins_finds_all_of_it() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let one = server.join(&layout, "one").await;
        commit(&one, "read", &[emits(1, &["bad"])]).await.unwrap();
        let taken = one.take(A, 1, false).await.unwrap();
        let dead = End { dead: Some(("boom".into(), 1)), ..end(A, taken[0].sequence) };
        commit(&one, "pass", &[Commit { number: 1, ends: vec![dead], ..Commit::default() }]).await.unwrap();
        fill_and_drain(&one, 1..=400).await;
        // 51 MB have passed. What is left is the last part of the log.
        let ledger = one.ledger(A).await.unwrap();
        let small = async || loop {
            let (messages, bytes) = size(&server).await;
            if messages < 1000 && bytes < 30_000_000 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        };
        timeout(Duration::from_secs(20), small()).await.unwrap();
        let two = server.join(&layout, "two").await;
        assert_eq!(two.ledger(A).await.unwrap(), ledger);
        let letters = two.letters(A, None, 10).await.unwrap();
        assert_eq!((letters.len(), &letters[0].item[..]), (1, &b"bad"[..]));
        assert_eq!(
            visit(&server, &layout)
                .await
                .letters(&LetterPlace { run: 1, queue: "a".into() }, None, 10)
                .await
                .unwrap(),
            letters
        );
        assert_eq!(commit(&one, "fill", &[emits(400, &["again"])]).await.unwrap().before, 400);
        audit(&two, &layout).await;
    });
}

/// A server (2.9.10) that purges by subject counts the messages as there until it is started again.
#[test]
fn what_is_deleted_is_room_again_for_the_account() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let one = server.join(&layout, "one").await;
        // The oldest item stays, so that nothing is deleted from the beginning on.
        commit(&one, "read", &[emits(1, &["oldest"])]).await.unwrap();
        let oldest = one.take(A, 1, false).await.unwrap();
        fill_and_drain(&one, 1..=400).await;
        let is_exact = async || loop {
            let used = api(&server, "INFO", Value::Null).await["storage"].as_u64().unwrap();
            let reserve = api(&server, &format!("STREAM.INFO.{STREAM}+reserve"), Value::Null).await;
            let (messages, bytes) = size(&server).await;
            if messages < 1000 && used == bytes + reserve["state"]["bytes"].as_u64().unwrap() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        };
        timeout(Duration::from_secs(20), is_exact()).await.expect("an account that counts what is there");
        assert_eq!(one.extend(A, &[oldest[0].sequence]).await.unwrap(), []);
    });
}

/// 2.9 forgets what it has deleted if it is killed within two minutes, 2.10 writes it down at once.
#[test]
fn what_a_killed_server_has_again_is_deleted_again() {
    crate::run(async {
        let (mut server, layout) = (start(), layout(&[100, 10]));
        let one = server.join(&layout, "one").await;
        // An item stays here and there, so that nothing is deleted as a whole.
        let mut held = Vec::new();
        for n in 0..30 {
            commit(&one, "read", &[emits(n + 1, &["held"])]).await.unwrap();
            held.push(one.take(A, 1, false).await.unwrap()[0].sequence);
            fill_and_drain(&one, n * 10 + 1..=n * 10 + 10).await;
        }
        let small = async || loop {
            let (messages, bytes) = size(&server).await;
            if messages < 1000 && bytes < 20_000_000 {
                return bytes;
            }
            sleep(Duration::from_millis(20)).await;
        };
        let before = timeout(Duration::from_secs(20), small()).await.expect("a small stream");
        let version = async_nats::connect(server.url()).await.unwrap().server_info().version;
        server.kill();
        server.start_again();
        let (_, bytes) = size(&server).await;
        assert!(bytes > before + 1_000_000 || !version.starts_with("2.9."), "{bytes}, {before} before");
        let two = server.join(&layout, "two").await;
        let (_, bytes) = size(&server).await;
        assert!(bytes < before + 100_000, "{bytes}, {before} before");
        assert_eq!(two.ledger(A).await.unwrap().leased, 30);
        let one = server.join(&layout, "one").await;
        assert_eq!(one.extend(A, &held).await.unwrap(), []);
        audit(&two, &layout).await;
    });
}

#[test]
fn a_store_that_has_no_room_for_the_reserve_is_refused_with_what_is_needed() {
    crate::run(async {
        let server = Server::nats(&["-js"], "jetstream { max_file_store: 1MB }");
        let why = refused(&server.access(), &layout(&[10, 10])).await;
        assert!(why.contains("3 MiB are the least") && why.contains("max_file_store"), "{why}");
        let server = Server::nats(&["-js"], "jetstream { max_file_store: 3MB }");
        let one = server.join(&layout(&[10; 5]), "one").await;
        assert_eq!(verdicts(&one, "read", &[emits(1, &["x"])]).await, [Verdict::Done]);
    });
}

#[test]
fn a_full_store_takes_no_item_and_lets_those_that_it_has_be_taken_and_ended() {
    crate::run(async {
        let server = Server::nats(&[], "jetstream { max_file_store: 8MB }");
        let layout = layout(&[1_000_000, 10]);
        let one = server.join(&layout, "one").await;
        one.show(b"busy", SHOWN_FOR - Duration::from_secs(16)).await.unwrap();
        let (large, mut n) = ("x".repeat(100_000), 0);
        let full = loop {
            let judged = commit(&one, "read", &[emits(n + 1, &[&large])]).await.unwrap();
            n += judged.verdicts.len() as u64;
            if let Some(full) = judged.full {
                break full;
            }
        };
        assert_eq!(full, Full::Memory);
        assert!(n > 30, "{n}");
        // No machine falls silent, and one can join.
        one.show(&vec![b'x'; 60_000], SHOWN_FOR).await.unwrap();
        let visitor = visit(&server, &layout).await;
        visitor.watch().await.unwrap();
        let seen = visitor.overview().await.unwrap();
        assert_eq!(seen.machines[0].state, MemberState::Alive);
        let two = server.join(&layout, "two").await;
        for number in 1..=n {
            let taken = two.take(A, 1, false).await.unwrap();
            assert_eq!(taken[0].item.len(), 100_000, "{number} of {n}");
            let ends = vec![end(A, taken[0].sequence)];
            assert_eq!(
                verdicts(&two, "pass", &[Commit { number, ends, ..Commit::default() }]).await,
                [Verdict::Done]
            );
        }
        let put = async || loop {
            if commit(&one, "read", &[emits(n + 1, &["y"])]).await.unwrap().full.is_none() {
                return;
            }
            two.extend(A, &[]).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        };
        timeout(Duration::from_secs(20), put()).await.expect("room for an item");
        assert_eq!(items(&two, A).await, ["y"]);
        audit(&one, &layout).await;
    });
}

/// Something else has taken all that there was, the reserve as well.
async fn take_all_room(server: &Server) {
    api(server, &format!("STREAM.PURGE.{STREAM}+reserve"), json!({})).await;
    api(server, "STREAM.CREATE.OTHER", json!({ "name": "OTHER", "subjects": ["other"], "discard": "new" }))
        .await;
    let client = async_nats::connect(server.url()).await.unwrap();
    for len in [200_000, 10_000, 500, 10] {
        loop {
            let answer = client.request("other", vec![b'x'; len].into()).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            if answer.get("error").is_some() {
                break;
            }
        }
    }
}

#[test]
fn a_store_without_a_reserve_and_without_room_is_worked_off_all_the_same() {
    crate::run(async {
        let server = Server::nats(&[], "jetstream { max_file_store: 8MB }");
        let layout = layout(&[1_000_000, 10]);
        let one = server.join(&layout, "one").await;
        let (large, mut n) = ("x".repeat(10_000), 0);
        while commit(&one, "read", &[emits(n + 1, &[&large])]).await.unwrap().full.is_none() {
            n += 1;
        }
        for number in 1..=20 {
            let taken = one.take(A, 1, false).await.unwrap();
            let ends = vec![end(A, taken[0].sequence)];
            commit(&one, "pass", &[Commit { number, ends, ..Commit::default() }]).await.unwrap();
        }
        // A snapshot has been written behind these.
        sleep(Duration::from_millis(1000)).await;
        one.extend(A, &[]).await.unwrap();
        sleep(Duration::from_millis(1000)).await;
        drop(one);
        sleep(Duration::from_millis(300)).await;
        take_all_room(&server).await;
        let two = timeout(Duration::from_secs(20), server.join(&layout, "two")).await.expect("room to join");
        let mut ended = 20;
        while ended < n {
            let taken = two.take(A, 50, false).await.unwrap();
            let ends: Vec<_> = taken.iter().map(|lease| end(A, lease.sequence)).collect();
            ended += ends.len() as u64;
            let number = ended;
            let verdict = verdicts(&two, "pass", &[Commit { number, ends, ..Commit::default() }]).await;
            assert_eq!(verdict, [Verdict::Done], "{ended} of {n}");
        }
        audit(&two, &layout).await;
    });
}

#[test]
fn a_stream_with_settings_that_lose_items_is_refused_with_the_setting() {
    crate::run(async {
        let layout = layout(&[10, 10]);
        for (change, word) in [
            (json!({ "max_age": 60_000_000_000_u64 }), "max_age"),
            (json!({ "discard": "old" }), "discard"),
            (json!({ "storage": "memory" }), "allow_loss"),
        ] {
            let server = start();
            let mut config =
                json!({ "name": STREAM, "subjects": ["mprun.test.*"], "discard": "new", "storage": "file" });
            config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            api(&server, &format!("STREAM.CREATE.{STREAM}"), config).await;
            let why = refused(&server.access(), &layout).await;
            assert!(why.contains(word), "{why}");
        }
    });
}

async fn unfit(access: &Access, layout: &Layout) -> [String; 2] {
    let Err(Fault::Unfit(examined)) = server::examined(access, layout).await else {
        panic!("check takes it")
    };
    let Err(Fault::Unfit(joined)) = server::joined(access, layout, &member("m")).await.map(drop) else {
        panic!("a machine takes it")
    };
    [examined, joined]
}

#[test]
fn copies_on_a_server_that_stands_alone_are_refused_and_not_waited_for() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let copied = Layout { replicas: 3, ..layout.clone() };
        for why in unfit(&server.access(), &copied).await {
            assert!(why.starts_with("`stream_replicas = 3` needs") && why.contains("`stream_replicas = 1`"));
        }
        // A stream that is there is as it was made.
        drop(server.join(&layout, "one").await);
        drop(server.join(&copied, "one").await);
        server::examined(&server.access(), &copied).await.unwrap();
    });
}

#[test]
fn an_account_that_may_not_have_the_streams_is_refused_and_not_waited_for() {
    crate::run(async {
        for limits in
            ["max_file: -1, max_streams: 1", "max_file: -1, max_streams: 10, max_bytes_required: true"]
        {
            let accounts = format!(
                "accounts {{ A {{ jetstream {{ {limits} }}, users: [{{ user: ann, password: x }}] }} }}"
            );
            let server = Server::nats(&["-js"], &accounts);
            let access = Access::at(server.url_of("ann:x"));
            let joined = server::joined(&access, &layout(&[10]), &member("m")).await.map(drop);
            let Err(Fault::Unfit(why)) = joined else { panic!("{limits}: {joined:?}") };
            assert!(why.contains("its account may not have the streams"), "{limits}: {why}");
        }
        let accounts = "accounts { A { jetstream { max_file: -1, max_streams: 1 }, users: [{ user: ann, password: x }] } }";
        let server = Server::nats(&["-js"], accounts);
        for why in unfit(&Access::at(server.url_of("ann:x")), &layout(&[10])).await {
            assert!(why.contains("1 streams") || why.contains("number of streams"), "{why}");
        }
    });
}

#[test]
fn another_stream_with_the_same_subjects_is_refused_and_not_waited_for() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let config = json!({ "name": "other", "subjects": ["mprun.test.*"] });
        api(&server, "STREAM.CREATE.other", config).await;
        let why = refused(&server.access(), &layout).await;
        assert!(why.contains("another `prefix`"), "{why}");
    });
}

#[test]
fn what_is_no_message_of_mprun_is_passed_over_and_another_version_is_told() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let one = server.join(&layout, "one").await;
        for junk in [
            &b"\x04"[..],
            b"\x04\x07",
            b"\x04\x00junk",
            b"",
            b"\x04\x00\x02\x00\x00\x00\x05\x00\x00\x00",
            b"\x04\x01part",
        ] {
            publish(&server, "mprun.test.data", junk).await;
        }
        commit(&one, "read", &[emits(1, &["x"])]).await.unwrap();
        assert_eq!(items(&server.join(&layout, "two").await, A).await, ["x"]);
        publish(&server, "mprun.test.request", b"\x09 of a later version").await;
        assert_eq!(timeout(Duration::from_secs(5), one.woken()).await.unwrap(), Woken::Away);
        let Err(Fault::Fatal(why)) = one.hear().await else { panic!("it goes on") };
        assert!(why.contains("another version") && why.contains("format 9"), "{why}");
        assert!(refused(&server.access(), &layout).await.contains("another version"));
    });
}

#[test]
fn a_stream_that_somebody_has_purged_or_deleted_is_never_gone_on_with() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let one = server.join(&layout, "one").await;
        commit(&one, "read", &[emits(1, &["x"])]).await.unwrap();
        api(&server, &format!("STREAM.PURGE.{STREAM}"), Value::Null).await;
        assert!(refused(&server.access(), &layout).await.contains("purged"));
        api(&server, &format!("STREAM.DELETE.{STREAM}"), Value::Null).await;
        // Nothing comes from it any more.
        assert!(matches!(commit(&one, "read", &[emits(2, &["y"])]).await, Err(Fault::Away(_))));
        let anew = server.join(&layout, "one").await;
        assert_eq!((anew.joined().run, anew.ledger(A).await.unwrap().put), (1, 0));
        assert_ne!(anew.joined().begun, one.joined().begun, "it is another run");
    });
}

/// What the server holds of the pipeline `test`, beside a healthy one.
async fn held(inventory: &Inventory) -> HeldPipeline {
    let mut all = inventory.pipelines().await.unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&*all[0].pipeline, all[0].runs.len(), &all[0].fault), ("fine", 1, &None));
    all.remove(1)
}

async fn make_stream(server: &Server, change: Value) {
    let mut config = json!({ "name": STREAM, "subjects": ["mprun.test.*"], "storage": "file" });
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let made = api(server, &format!("STREAM.CREATE.{STREAM}"), config).await;
    assert!(made.get("error").is_none(), "{made}");
}

#[test]
fn what_cannot_be_read_is_listed_beside_the_others_and_deleted() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        drop(server.join(&Layout { pipeline: "fine".into(), ..layout.clone() }, "one").await);
        for (n, word) in [
            Some("purged"),
            Some("snapshot"),
            Some("format 9"),
            Some("format 9"),
            Some("lacks messages"),
            None, // other subjects
            Some("workqueue"),
            None, // sealed
        ]
        .into_iter()
        .enumerate()
        {
            if n < 5 {
                let one = server.join(&layout, "one").await;
                commit(&one, "read", &[emits(1, &["x"])]).await.unwrap();
            }
            match n {
                0 => drop(api(&server, &format!("STREAM.PURGE.{STREAM}"), Value::Null).await),
                1 => publish(&server, "mprun.test.head", b"\x04junk").await,
                2 => publish(&server, "mprun.test.head", b"\x09junk").await,
                3 => publish(&server, "mprun.test.request", b"\x09 of a later version").await,
                4 => {
                    let answer =
                        api(&server, &format!("STREAM.MSG.DELETE.{STREAM}"), json!({ "seq": 2 })).await;
                    assert_eq!(answer["success"], true, "{answer}");
                }
                5 => make_stream(&server, json!({ "subjects": ["others"] })).await,
                6 => make_stream(&server, json!({ "retention": "workqueue" })).await,
                _ => {
                    make_stream(&server, json!({})).await;
                    let info = api(&server, &format!("STREAM.INFO.{STREAM}"), Value::Null).await;
                    let mut config = info["config"].clone();
                    config["sealed"] = true.into();
                    let answer = api(&server, &format!("STREAM.UPDATE.{STREAM}"), config).await;
                    assert!(answer.get("error").is_none(), "{answer}");
                }
            }
            let inventory = Inventory::open(&server.access()).await.unwrap();
            let found = held(&inventory).await;
            let why = found.fault.as_ref().map(ToString::to_string);
            assert_eq!(why.is_some(), word.is_some(), "{n}: {why:?}");
            assert!(why.unwrap_or_default().contains(word.unwrap_or_default()), "{n}: {:?}", found.fault);
            assert_eq!(inventory.drop(&found, false).await, Ok(Dropped::Keys(2)), "{n}");
            assert_eq!(inventory.pipeline("mprun", "test").await, Ok(None), "{n}");
        }
        let one = server.join(&layout, "one").await;
        assert_eq!(one.joined().run, 1);
        commit(&one, "read", &[emits(1, &["x"])]).await.unwrap();
        api(&server, &format!("STREAM.PURGE.{STREAM}"), Value::Null).await;
        let inventory = Inventory::open(&server.access()).await.unwrap();
        let found = held(&inventory).await;
        assert_eq!(inventory.drop(&found, false).await, Ok(Dropped::Heard(1)), "a machine is there");
        assert_eq!(held(&inventory).await, found);
        assert_eq!(inventory.drop(&found, true).await, Ok(Dropped::Keys(2)));
        assert!(matches!(commit(&one, "read", &[emits(2, &["y"])]).await, Err(Fault::Away(_))));
        audit(&server.join(&layout, "one").await, &layout).await;
    });
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_server_that_has_lost_the_end_of_its_stream_is_told_from_one_that_has_not() {
    crate::run(async {
        let (mut server, layout) = (start(), layout(&[10, 10]));
        let one = server.join(&layout, "one").await;
        commit(&one, "read", &[emits(1, &["x"])]).await.unwrap();
        // As a power cut leaves it.
        let (store, before) = (server.store(), Folder::new());
        server.kill();
        copy(&store, &before.path().join("store"));
        server.start_again();
        let one = server.join(&layout, "one").await;
        commit(&one, "read", &[emits(2, &["y"]), emits(3, &["z"])]).await.unwrap();
        server.kill();
        copy(&before.path().join("store"), &store);
        server.start_again();
        let one = server.join(&layout, "one").await;
        let judged = commit(&one, "read", &[emits(4, &["4"])]).await.unwrap();
        assert_eq!(judged.before, 1, "the link tells that two commits are forgotten");
        assert_eq!(items(&one, A).await, ["x", "4"]);
        audit(&one, &layout).await;
    });
}

#[test]
fn users_tokens_and_wrong_ones() {
    crate::run(async {
        let layout = layout(&[1]);
        let join = async |access: &Access| server::joined(access, &layout, &member("m")).await.map(drop);
        let server = Server::nats(&["-js", "--user", "ann", "--pass", "w@rd"], "");
        assert_eq!(join(&Access::at(server.url_of("ann:w%40rd"))).await, Ok(()));
        for user in ["ann:hunter2", "", "hunter2"] {
            let why = refused(&Access::at(server.url_of(user)), &layout).await;
            assert!(why.contains("password") && !why.contains("hunter2"), "{why}");
        }
        let server = Server::nats(&["-js", "--auth", "t0ken"], "");
        for user in ["t0ken", ":t0ken"] {
            assert_eq!(join(&Access::at(server.url_of(user))).await, Ok(()));
        }
        let credentials = Some("-----BEGIN NATS USER JWT-----\nnone\n".to_owned());
        let why = refused(&Access { credentials, ..server.access() }, &layout).await;
        assert!(why.contains("credentials_file"), "{why}");
        let gone = Access::at("nats://:hunter2@127.0.0.1:1");
        let Err(Fault::Away(why)) = AnyBroker::join(&gone, &layout, &member("m")).await.map(drop) else {
            panic!("away")
        };
        assert!(!why.contains("hunter2"), "{why}");
        // Of several servers one is enough.
        let both = Access::at(format!("nats://:t0ken@127.0.0.1:1,{}", server.url()));
        assert_eq!(join(&both).await, Ok(()));
    });
}

#[test]
fn who_may_not_ask_jetstream_is_told_so() {
    crate::run(async {
        let settings =
            "authorization { users = [{ user: ann, password: x, permissions: { publish: \"a.>\" } }] }";
        let server = Server::nats(&["-js"], settings);
        let access = Access::at(server.url_of("ann:x"));
        let why = match AnyBroker::join(&access, &layout(&[1]), &member("m")).await {
            Err(Fault::Denied(why) | Fault::Away(why)) => why,
            other => panic!("{:?}", other.map(drop)),
        };
        assert!(why.to_lowercase().contains("permissions"), "{why}");
    });
}

#[test]
fn a_certificate_of_ones_own_authority_opens_the_way() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:false",
    ];
    let mut openssl = Command::new("openssl");
    openssl.args(words).args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")]);
    assert!(openssl.output().expect("openssl: tests/run installs it").status.success());
    let settings =
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", path("cert.pem"), path("key.pem"));
    let server = Server::nats(&["-js"], &settings);
    crate::run(async {
        let url = server.url().replace("nats://", "tls://");
        let pem = std::fs::read(path("cert.pem")).unwrap();
        let access = Access { tls_ca: Some(pem), ..Access::at(url.clone()) };
        let broker = server::join(&access, &layout(&[1]), &member("m")).await;
        assert_eq!(verdicts(&broker, "read", &[emits(1, &["x"])]).await, [Verdict::Done]);
        let unknown = AnyBroker::join(&Access::at(url), &layout(&[1]), &member("m")).await;
        assert!(matches!(unknown.map(drop), Err(Fault::Away(_))), "a certificate of nobody");
        let none = Access { tls_ca: Some(b"no certificate".to_vec()), ..access };
        assert!(refused(&none, &layout(&[1])).await.contains("tls_ca"));
    });
}

#[test]
fn a_machine_that_is_far_behind_finds_its_way() {
    crate::run(async {
        let (server, layout) = (start(), layout(&[10, 10]));
        let (one, idle) = (server.join(&layout, "one").await, server.join(&layout, "idle").await);
        let letter = output(A, "kept");
        commit(&one, "read", &[Commit { number: 1, outputs: vec![letter], ..Commit::default() }])
            .await
            .unwrap();
        let kept = idle.take(A, 1, false).await.unwrap();
        fill_and_drain(&one, 1..=300).await;
        assert_eq!(idle.extend(A, &[kept[0].sequence]).await.unwrap(), []);
        assert_eq!(idle.held(A).await.unwrap(), [kept[0].sequence]);
        assert_eq!(
            idle.commit(&stage("pass"), &[passes(1, &kept[0])]).await.unwrap().verdicts,
            [Verdict::Done]
        );
        audit(&idle, &layout).await;
        let again = server.join(&layout, "idle").await;
        assert_eq!(again.held(A).await.unwrap(), []);
    });
}
