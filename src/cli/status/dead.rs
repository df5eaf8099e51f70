//! Which command shows the dead letters of a run: those of shared queues lie in the broker.

use crate::status::Snapshot;

/// What stands behind their number. `it`: a word for them.
pub(super) fn shown_by(snapshot: &Snapshot, it: &str) -> String {
    let here = "`mprun dead list`";
    if snapshot.broker.is_none() {
        return format!("{here} shows {it}");
    }
    let there = format!("`mprun dead list --shared {}`", snapshot.file);
    match snapshot.letters.letters {
        0 => format!("{there} shows {it}"),
        _ => format!("{there} shows those in the broker, {here} those on this machine"),
    }
}

/// Where they are, for a line.
pub(super) fn place(snapshot: &Snapshot) -> String {
    let file = &snapshot.dead_letter_file;
    match (&snapshot.broker, snapshot.letters.letters) {
        (None, _) => format!("in {file}"),
        (Some(_), 0) => format!("in the broker: {}", shown_by(snapshot, "them")),
        (Some(_), _) => format!("in the broker and in {file}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::snapshot;
    use crate::status::{BrokerStatus, Letters};

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
        let shared = Snapshot { broker: Some(broker), file: "/p/shop.toml".into(), ..own };
        assert_eq!(shown_by(&shared, "them"), "`mprun dead list --shared /p/shop.toml` shows them");
        assert!(place(&shared).contains("--shared /p/shop.toml") && !place(&shared).contains("dead.jsonl"));
        let both = Snapshot { letters: Letters { letters: 2, ..Letters::default() }, ..shared };
        assert!(shown_by(&both, "them").ends_with("`mprun dead list` those on this machine"));
    }
}
