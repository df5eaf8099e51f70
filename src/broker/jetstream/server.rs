//! What a server and a stream promise, from what they tell of themselves.

use crate::broker::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is asked of a stream, beside its name and its subjects.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Settings {
    #[serde(default)]
    retention: String,
    #[serde(default)]
    storage: String,
    #[serde(default)]
    discard: String,
    #[serde(default)]
    max_age: u64,
    #[serde(default)]
    max_msgs: i64,
    #[serde(default)]
    max_msgs_per_subject: i64,
    #[serde(default)]
    pub num_replicas: usize,
    #[serde(default)]
    sealed: bool,
    #[serde(default)]
    deny_delete: bool,
    #[serde(default)]
    deny_purge: bool,
}

/// Of a stream that is to be made.
pub(super) fn wanted(name: &str, subjects: &[String], pipeline: &str, replicas: u8) -> Value {
    json!({
        "name": name,
        "description": format!("shared queues of the mprun pipeline {pipeline}"),
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_age": 0,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
        "num_replicas": replicas,
        "allow_direct": true,
        // No message carries an id, so the server need not remember any.
        "duplicate_window": 100_000_000,
    })
}

/// The server's version; an error if it is too old, or keeps nothing.
pub(super) fn check_server(version: &str, has_jetstream: bool) -> Result<(), Fault> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next()) < (2, 9) {
        return Err(Fault::Unfit(format!("the server is NATS {version}: 2.9 is needed")));
    }
    match has_jetstream {
        true => Ok(()),
        false => Err(Fault::Unfit(
            "the server keeps nothing: JetStream is not enabled (`jetstream { }` in its file, or `-js`)"
                .into(),
        )),
    }
}

/// One that makes no copies; `what` asks for them.
pub(super) fn no_cluster(what: &str) -> Fault {
    Fault::Unfit(format!(
        "{what} needs the servers of a cluster, and this one is in none: write `stream_replicas = 1`, or the addresses of a cluster"
    ))
}

/// One whose account never gets the streams of a pipeline.
pub(super) fn limited(why: &str) -> Fault {
    Fault::Unfit(format!(
        "its account may not have the streams of this pipeline ({why}): it needs two, of no fixed size; raise the limits of the \
         account, or delete streams (`nats stream ls`)"
    ))
}

/// An error if the server can't make a stream with this many replicas, by what it says of itself. `cluster`: the name of its cluster.
pub(super) fn check_replicas(cluster: Option<&str>, replicas: u8) -> Result<(), Fault> {
    match (cluster, replicas) {
        (None | Some(""), 2..) => Err(no_cluster(&format!("`stream_replicas = {replicas}`"))),
        _ => Ok(()),
    }
}

impl Settings {
    pub(super) fn of(info: &Value) -> Result<Settings, Fault> {
        let config = info.get("config").cloned().unwrap_or_default();
        serde_json::from_value(config)
            .map_err(|error| Fault::Away(format!("an answer of JetStream: {error}")))
    }

    /// Settings under which the server deletes or keeps back what is needed.
    fn faults(&self) -> Vec<String> {
        let unlimited = |limit: i64| limit <= 0;
        [
            (self.retention == "limits", format!("`retention` is {}, not limits", self.retention)),
            (
                self.discard == "new",
                format!("`discard` is {}, not new: it deletes items when it is full", self.discard),
            ),
            (self.max_age == 0, "`max_age` is set: it deletes what is older".to_owned()),
            (unlimited(self.max_msgs), "`max_msgs` is set".to_owned()),
            (unlimited(self.max_msgs_per_subject), "`max_msgs_per_subject` is set".to_owned()),
            (!self.sealed, "it is sealed".to_owned()),
            (
                !self.deny_delete && !self.deny_purge,
                "it denies that messages are deleted, so it would grow for ever".to_owned(),
            ),
        ]
        .into_iter()
        .filter_map(|(is_good, fault)| (!is_good).then_some(fault))
        .collect()
    }

    /// What it doesn't protect from; an error if it is no stream for queues, or may lose items and nobody has allowed it.
    pub(super) fn check(&self, stream: &str, allow_loss: bool) -> Result<Vec<String>, Fault> {
        let faults = self.faults();
        if !faults.is_empty() {
            let faults = faults.join("; ");
            return Err(Fault::Unfit(format!(
                "the stream {stream} has other settings than mprun gives it: {faults}; set them right with `nats stream edit`"
            )));
        }
        if self.storage == "memory" {
            let loss = "the stream is kept in memory, so what is in it goes with the server";
            return match allow_loss {
                true => Ok(vec![loss.to_owned()]),
                false => Err(Fault::Unfit(format!(
                    "the server may lose items: {loss}; `allow_loss = true` runs on it all the same"
                ))),
            };
        }
        Ok(match self.num_replicas {
            0 | 1 => vec![
                "JetStream answers before its disk has it: a power cut may take back two minutes (`sync_interval` of the server; \
                 `always` from 2.10 on takes back nothing)"
                    .to_owned(),
            ],
            _ => vec!["JetStream answers before its disks have it: a power cut of most servers of the cluster at once may take back two minutes (`sync_interval`)".to_owned()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: (&str, Value)) -> Settings {
        let mut config = wanted("s", &["s.log".to_owned()], "p", 1);
        config[change.0] = change.1;
        Settings::of(&json!({ "config": config })).unwrap()
    }

    #[test]
    fn a_stream_as_it_was_made_is_taken_and_what_a_power_cut_takes_is_told() {
        let warnings = settings(("num_replicas", 1.into())).check("s", false).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("power cut"), "{warnings:?}");
        let warnings = settings(("num_replicas", 3.into())).check("s", false).unwrap();
        assert!(warnings[0].contains("cluster"), "{warnings:?}");
    }

    #[test]
    fn a_stream_that_deletes_what_is_needed_is_refused_with_the_setting_whatever_is_allowed() {
        for (key, value) in [
            ("retention", json!("workqueue")),
            ("discard", json!("old")),
            ("max_age", json!(1_000_000)),
            ("max_msgs", json!(5)),
            ("max_msgs_per_subject", json!(5)),
            ("sealed", json!(true)),
            ("deny_purge", json!(true)),
        ] {
            let Err(Fault::Unfit(why)) = settings((key, value)).check("s", true) else { panic!("{key}") };
            assert!(why.contains(key) || ["sealed", "deny_purge"].contains(&key), "{why}");
        }
    }

    #[test]
    fn a_stream_in_memory_is_refused_unless_that_is_allowed() {
        let memory = settings(("storage", json!("memory")));
        assert!(matches!(memory.check("s", false), Err(Fault::Unfit(why)) if why.contains("allow_loss")));
        assert!(memory.check("s", true).unwrap()[0].contains("memory"));
    }

    #[test]
    fn copies_are_refused_where_there_is_no_cluster_for_them() {
        for cluster in [None, Some("")] {
            assert_eq!(check_replicas(cluster, 1), Ok(()));
            let refused = check_replicas(cluster, 3);
            assert!(matches!(refused, Err(Fault::Unfit(why)) if why.contains("`stream_replicas = 3` needs")));
        }
        assert_eq!(check_replicas(Some("east"), 3), Ok(()));
    }

    #[test]
    fn old_servers_and_those_without_jetstream_are_refused() {
        assert_eq!(check_server("2.9.10", true), Ok(()));
        assert_eq!(check_server("2.12.0-RC.1", true), Ok(()));
        assert!(matches!(check_server("2.8.4", true), Err(Fault::Unfit(why)) if why.contains("2.9")));
        assert!(matches!(check_server("2.10.0", false), Err(Fault::Unfit(why)) if why.contains("JetStream")));
    }
}
