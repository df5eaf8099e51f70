//! What a service manager hears of an end, by the datagrams themselves: `ERRNO`, `EXIT_STATUS`, and the line for people.

mod support;

use std::os::unix::net::UnixDatagram;
use support::{Folder, command};

/// Runs a pipeline to its end; its exit code, and all that was told.
fn notified(text: &str, variables: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let folder = Folder::new();
    folder.file("p.toml", text);
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = command(&folder);
    command.args(["run", "p.toml", "--no-watch"]).env("NOTIFY_SOCKET", &path).envs(variables.iter().copied());
    let status = command.output().unwrap().status;
    socket.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 65536];
    while let Ok(len) = socket.recv(&mut buffer) {
        all.extend(String::from_utf8_lossy(&buffer[..len]).lines().map(str::to_owned));
    }
    (status.code(), all)
}

fn has(all: &[String], line: &str) -> bool {
    all.iter().any(|sent| sent == line)
}

const COUNT: &str = "[stages.once]\nuse = 'count'\nwith = { from = 1, to = 3 }\n";

#[test]
fn a_good_end_has_no_code() {
    let (code, all) = notified(COUNT, &[]);
    assert_eq!(code, Some(0), "{all:?}");
    assert!(has(&all, "READY=1") && has(&all, "STOPPING=1"), "{all:?}");
    assert!(
        !all.iter().any(|line| line.starts_with("EXIT_STATUS=") || line.starts_with("ERRNO=")),
        "{all:?}"
    );
}

#[test]
fn a_bad_file_ends_with_2_and_its_fault_is_told() {
    let (code, all) = notified("[stages.a]\nuse = 'count'\nspeed = 1\n", &[]);
    assert_eq!(code, Some(2), "{all:?}");
    assert!(has(&all, "EXIT_STATUS=2") && !has(&all, "READY=1"), "{all:?}");
    assert!(all.iter().any(|line| line.starts_with("STATUS=error: ") && line.contains("speed")), "{all:?}");
}

#[test]
fn dead_letters_end_with_3_and_a_stage_that_gives_up_with_1() {
    let failing = "[defaults]\nattempts = 1\n[stages.a]\nuse = 'count'\nwith = { from = 1, to = 2 }\noutput = 'q'\n\
                   [stages.b]\ncommand = ['false']\nmode = 'each'\ninput = 'q'\n";
    let (code, all) = notified(failing, &[]);
    assert_eq!(code, Some(3), "{all:?}");
    assert!(has(&all, "EXIT_STATUS=3"), "{all:?}");
    let (code, all) = notified("[stages.a]\ncommand = ['false']\nmode = 'stream'\nrestart = 'never'\n", &[]);
    assert_eq!(code, Some(1), "{all:?}");
    assert!(has(&all, "EXIT_STATUS=1"), "{all:?}");
}

#[test]
fn what_the_system_refuses_is_told_by_its_number() {
    let durable = format!(
        "[queues.q]\ndurable = true\n{COUNT}output = 'q'\n[stages.end]\nuse = 'discard'\ninput = 'q'\n"
    );
    let (code, all) = notified(&durable, &[("XDG_STATE_HOME", "/dev/null/nowhere")]);
    assert_eq!(code, Some(1), "{all:?}");
    assert!(has(&all, &format!("ERRNO={}", libc::ENOTDIR)) && has(&all, "EXIT_STATUS=1"), "{all:?}");
    assert!(all.iter().any(|line| line.starts_with("STATUS=failed to open /dev/null/nowhere")), "{all:?}");
}

#[test]
fn the_messages_of_a_run_and_their_order_stay() {
    let failing = "name = 'p'\n[defaults]\nattempts = 1\n[stages.a]\nuse = 'count'\n\
                   with = { from = 1, to = 2 }\noutput = 'q'\n\
                   [stages.b]\ncommand = ['false']\nmode = 'each'\ninput = 'q'\n";
    let (_, all) = notified(failing, &[]);
    // How many items wait, and how long it took, differs from run to run.
    let spelled = |line: &String| match line.strip_prefix("STATUS=") {
        Some(text) => format!("STATUS={}", text.split([';', '(']).next().unwrap_or_default()),
        None => line.clone(),
    };
    let spelled: Vec<String> = all.iter().map(spelled).collect();
    assert!(spelled[13].starts_with("STATUS=p: done after "), "{all:?}");
    let written_down = [
        "FDSTOREREMOVE=1",
        "FDNAME=mprun-queues-p",
        "FDSTORE=1",
        "FDNAME=mprun-queues-p",
        "FDPOLL=0",
        "STATUS=starting 2 stages, 2 workers",
        "READY=1",
        "STATUS=2 stages, 2 workers",
        "STOPPING=1",
        "EXTEND_TIMEOUT_USEC=20000000",
        "STATUS=2 stages, 2 workers",
        "FDSTOREREMOVE=1",
        "FDNAME=mprun-queues-p",
        &spelled[13],
        "EXIT_STATUS=3",
    ];
    assert_eq!(spelled, written_down);
}
