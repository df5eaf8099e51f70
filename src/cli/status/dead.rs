//! Which command shows the dead letters of a run: those of shared queues lie in the broker.

use crate::status::Snapshot;

/// What stands behind their number. `it`: a word for them.
pub(super) fn shown_by(snapshot: &Snapshot, it: &str) -> String {
    let here = "`mprun dead list`";
    let there = format!("`mprun dead list --shared {}`", snapshot.file);
    match places(snapshot) {
        (false, _) => format!("{here} shows {it}"),
        (true, false) => format!("{there} shows {it}"),
        (true, true) => format!("{there} shows those in the broker, {here} those on this machine"),
    }
}

/// Where they are, for a line.
pub(super) fn place(snapshot: &Snapshot) -> String {
    let file = &snapshot.dead_letter_file;
    match places(snapshot) {
        (false, _) => format!("in {file}"),
        (true, false) => format!("in the broker: {}", shown_by(snapshot, "them")),
        (true, true) => format!("in the broker and in {file}"),
    }
}

/// Whether letters of the run are in the broker, and whether some are on this machine.
fn places(snapshot: &Snapshot) -> (bool, bool) {
    let there = snapshot.letters_left_in_broker();
    (there > 0, snapshot.letters_left().items > there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::{queue, snapshot};
    use crate::status::{BrokerStatus, Letters, QueueStatus};

    #[test]
    fn letters_of_shared_queues_are_shown_where_they_lie() {
        let own = Snapshot { dead_letter_file: "/s/dead.jsonl".into(), ..snapshot() };
        assert_eq!(shown_by(&own, "them"), "`mprun dead list` shows them");
        assert_eq!(place(&own), "in /s/dead.jsonl");
        let broker = BrokerStatus {
            machine: "3f".into(),
            run: Some(1),
            connected: true,
            away: None,
            outage: None,
            full: None,
            held: 0,
            commits: 0,
        };
        let jobs = QueueStatus { dead: 1, shared: true, ..queue("jobs", 0) };
        let queues = vec![jobs];
        let shared =
            Snapshot { broker: Some(broker), file: "/p/shop.toml".into(), dead_letters: 1, queues, ..own };
        assert_eq!(shown_by(&shared, "them"), "`mprun dead list --shared /p/shop.toml` shows them");
        assert!(place(&shared).contains("--shared /p/shop.toml") && !place(&shared).contains("dead.jsonl"));
        let letters = Letters { letters: 2, ..Letters::default() };
        let both = Snapshot { letters, dead_letters: 2, ..shared };
        assert!(shown_by(&both, "them").ends_with("`mprun dead list` those on this machine"));
        let dropped = Letters { in_broker: Some(0), ..both.letters.clone() };
        assert_eq!(place(&Snapshot { letters: dropped, ..both }), "in /s/dead.jsonl");
    }
}
