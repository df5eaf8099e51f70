use super::super::saved_services::{SavedPrinting, SavedService, SavedServices};
use super::*;
use crate::supervisor::fixture::assert_golden;
use crate::supervisor::machine::saved::fixture;

const GOLDEN: &str = include_str!("../../golden/upgrade.json");

/// With a value in each field. The descriptors' numbers mean nothing here.
fn full() -> UpgradeState {
    UpgradeState {
        run: "00000000deadbeef".to_owned(),
        continues: true,
        replacing: vec!["/out/a".into()],
        age: Duration::new(100, 5),
        machine: fixture::sample(),
        guardian: Some((12, 13)),
        preexisting: vec![14],
        non_leaders: vec![15],
        dead_before: 16,
        dead_by_stage: BTreeMap::from([("a".to_owned(), 17)]),
        ends_with_terminal: true,
        arena: 18,
        undo_log: 19,
        log_pipe: Some([20, 21]),
        log_writer: Some(22),
        log_backlog: vec!["a line".to_owned()],
        listeners: [Some(23), None],
        web_listener: Some(31),
        locks: Vec::new(),
        services: Some(services()),
        holding_pipes: BTreeMap::from([("a".to_owned(), [24, 25])]),
    }
}

fn services() -> SavedServices {
    let service = SavedService {
        slot: 4,
        stderr: Some(26),
        stdout: Some(27),
        failure: None,
        notify: None,
        half_stderr: b"half".to_vec(),
        half_stdout: vec![0xff],
    };
    let printing = SavedPrinting { ends: [28, 29], pending: vec![b"a\n".to_vec()], owners: vec![(4, 2)] };
    SavedServices { roster: 30, printing, all: vec![service] }
}

fn shown(state: &UpgradeState) -> String {
    serde_json::to_string(state).unwrap()
}

#[test]
fn one_program_leaves_to_the_next_what_every_version_reads() {
    assert_golden(&shown(&full()), "upgrade.json");
}

#[test]
fn what_another_version_has_left_is_read_whole() {
    let read: UpgradeState = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(read.machine, fixture::sample());
    assert_eq!(shown(&read), GOLDEN);
}

/// Fields that came later: a program of before does not write them.
#[test]
fn what_an_older_version_has_left_is_read_without_the_newer_fields() {
    let mut old: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    for field in ["continues", "replacing", "log_writer", "log_backlog", "listeners", "services"] {
        old.as_object_mut().unwrap().remove(field).unwrap();
    }
    let left = old["left"].as_object_mut().unwrap();
    left.remove("file_variables").unwrap();
    left["stages"][0].as_object_mut().unwrap().remove("killed_in_a_row").unwrap();
    left["history"][0].as_object_mut().unwrap().remove("words").unwrap();
    let read: UpgradeState = serde_json::from_value(old.clone()).unwrap();
    assert!(!read.continues && read.replacing.is_empty() && read.listeners == [None, None]);
    assert_eq!((read.helper(), read.services), (None, None));
    old["unknown"] = 1.into();
    assert!(
        serde_json::from_value::<UpgradeState>(old).is_err(),
        "a field of a newer program is not passed over"
    );
}
