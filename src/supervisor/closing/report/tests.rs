use super::*;
use crate::model::Totals;
use crate::queue::{ItemTimes, QueueCounts, WorkTimes};
use crate::supervisor::fixture::assert_golden;
use crate::supervisor::machine::reason::StopCause;
use crate::supervisor::machine::totals::StageTotals;
use std::time::SystemTime;

fn run() -> (Outcome, Closing) {
    let times = WorkTimes {
        working: Duration::from_secs(3),
        starved: Duration::from_secs(1),
        ..WorkTimes::default()
    };
    let mut item_times = ItemTimes { sum: Duration::from_secs(3), ..ItemTimes::default() };
    item_times.counts[10] = 12;
    let stages = vec![StageTotals {
        name: "parse".into(),
        counts: Totals {
            taken: 16,
            done: 14,
            emitted: 15,
            dead: 1,
            too_long: 0,
            repeated: 0,
            perhaps_lost: 0,
        },
        restarts: 1,
        times,
        item_times,
        ..StageTotals::default()
    }];
    let counts = QueueCounts { put: 12, done: 9, dead: 1, waiting: 1, leased: 1, ..Default::default() };
    let closing = Closing {
        queues: vec![("q".into(), counts)],
        left: 2,
        unsent: 0,
        dead_before: 0,
        dead_at_start: 0,
        dead_shared: 0,
        letters_in_broker: None,
        too_long: 0,
        repeated: 0,
        dead_letters: "/s/dead.jsonl".into(),
        letters_in_file: None,
    };
    (
        Outcome { stopped: Some(StopCause::Signal("SIGTERM")), failed: false, stages, retains_items: false },
        closing,
    )
}

fn written(name: &str) -> String {
    let folder = std::env::temp_dir().join(format!("mprun-report-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, "before").unwrap();
    let (outcome, closing) = run();
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let frame =
        Frame { pipeline: "p", file: Path::new("p.toml"), started, took: Duration::from_millis(4000) };
    write(&path.to_str().unwrap().parse().unwrap(), &frame, &outcome, &closing).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
    fs::remove_dir_all(folder).unwrap();
    text
}

#[test]
fn a_program_reads_the_outcome_and_the_ledger() {
    let report: serde_json::Value = serde_json::from_str(&written("report.json")).unwrap();
    assert_eq!(
        (&report["outcome"], &report["cause"], &report["exit_code"]),
        (&"stopped".into(), &"SIGTERM".into(), &3.into())
    );
    assert_eq!(report["ended"], "2023-11-14T22:13:24.000Z");
    assert_eq!((&report["queues"][0]["put"], &report["adds_up"]), (&12.into(), &true.into()));
    assert_eq!((&report["stages"][0]["done"], &report["stages"][0]["dead"]), (&14.into(), &1.into()));
    assert_eq!(report["stages"][0]["seconds"]["working"], 3.0);
    assert_eq!(report["stages"][0]["mean_item_seconds"], 0.25);
}

#[test]
fn the_words_of_both_forms_stay() {
    let version = env!("CARGO_PKG_VERSION");
    for name in ["report.json", "report.md"] {
        assert_golden(&written(&format!("golden-{name}")).replace(version, "VERSION"), name);
    }
}

#[test]
fn people_read_the_same() {
    let text = written("report.md");
    for line in [
        concat!(
            "Stopped (SIGTERM) after 4s, exit code 3. Started 2023-11-14T22:13:20.000Z, from `p.toml`, by mprun ",
            env!("CARGO_PKG_VERSION"),
            "."
        ),
        "| parse | 14 | 1 | 15 | 1 | 75 % | 25 % | 0 % | 0 % | 250ms |",
        "| q | 12 | 9 | 1 | 0 | 1 | 0 | 1 | yes |",
        "put = done + waiting + delayed + leased + dropped + dead: every item is accounted for.",
        "1 dead letter, in `/s/dead.jsonl`.",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
}

#[test]
fn a_report_that_nobody_could_write_or_read_is_refused_at_once() {
    assert!("report.txt".parse::<ReportFile>().unwrap_err().contains(".json or .md"));
    assert!("/no/such/folder/report.md".parse::<ReportFile>().unwrap_err().contains("not there"));
    assert!("report.md".parse::<ReportFile>().is_ok());
}

#[test]
fn a_report_waits_for_nobody_to_read_a_pipe_and_keeps_a_link() {
    let folder = std::env::temp_dir().join(format!("mprun-report-{:x}", fastrand::u64(..)));
    fs::create_dir_all(&folder).unwrap();
    let (pipe, link) = (folder.join("pipe.md"), folder.join("link.md"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(folder.join("real"), "before").unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    let (outcome, closing) = run();
    let took = Duration::from_secs(4);
    let frame = Frame { pipeline: "p", file: Path::new("p.toml"), started: SystemTime::UNIX_EPOCH, took };
    let report = |path: &Path| write(&path.to_str().unwrap().parse().unwrap(), &frame, &outcome, &closing);
    assert_eq!(report(&pipe).unwrap_err().to_string(), "it has no reader");
    report(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(folder.join("real")).unwrap().contains("exit code"));
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    report(&pipe).unwrap();
    let mut text = vec![0; 1 << 16];
    let length = std::io::Read::read(&mut &reader, &mut text).unwrap();
    assert!(String::from_utf8_lossy(&text[..length]).contains("exit code"));
    fs::create_dir(folder.join("dir.md")).unwrap();
    assert_eq!(
        folder.join("dir.md").to_str().unwrap().parse::<ReportFile>().unwrap_err(),
        "it is a directory"
    );
    fs::remove_dir_all(folder).unwrap();
}
