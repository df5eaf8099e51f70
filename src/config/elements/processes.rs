//! `processes`: how many workers a stage has.

use serde_json::{Value, json};

use super::count::{not_a_number, shown};
use super::{Element, or_variable, reject};
use crate::config::diagnostic::{Report, nearest, quote};
use crate::config::document::Node;

/// Worker processes over all stages of a pipeline.
pub(crate) const MAX_PROCESSES: u64 = 4000;

/// A number of workers; `"cpus"`: as many as there are CPUs to use on this machine, now.
pub(crate) struct Processes;

fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism();
    cpus.map_or(1, |cpus| u32::try_from(cpus.get().min(MAX_PROCESSES as usize)).unwrap_or(1))
}

impl Element for Processes {
    type Output = u32;

    fn read(node: &Node, report: &mut Report) -> Option<u32> {
        match (node.text(), node.integer()) {
            (Some("cpus"), _) => return Some(cpus()),
            (_, Some(number)) => match u32::try_from(number) {
                Ok(count) if (1..=MAX_PROCESSES).contains(&count.into()) => return Some(count),
                _ if number < 1 => {
                    let fault =
                        reject::<Self>(node, format!("a stage can't have {} processes", shown(number)));
                    report.push(fault.help("`enabled = false` turns a stage off"));
                }
                _ => report.push(reject::<Self>(node, format!("{} processes are too many", shown(number)))),
            },
            (Some(text), None) if text.trim().parse::<i128>().is_err() => {
                let near = nearest(text, ["cpus", "cpu", "cores", "auto", "max"]);
                let fault = reject::<Self>(node, format!("{} is no number of processes", quote(text)));
                report.push(fault.did_you_mean(near.map(|_| "\"cpus\"")));
            }
            _ => report.push(not_a_number::<Self>(node)),
        }
        None
    }

    fn accepted() -> String {
        format!("a whole number from 1 to {MAX_PROCESSES}, or \"cpus\" for as many as there are CPUs")
    }

    fn schema() -> Value {
        or_variable(
            json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": MAX_PROCESSES }, { "const": "cpus" }] }),
        )
    }

    fn written(count: &u32) -> Value {
        (*count).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, read, refuses};

    #[test]
    fn a_number_or_the_cpus() {
        accepts::<Processes>(&["1", "4000", "\"cpus\""]);
        assert_eq!(read::<Processes>("3"), Ok(3));
        assert!(read::<Processes>("\"cpus\"").is_ok_and(|cpus| cpus >= 1));
    }

    #[test]
    fn what_is_meant_is_told() {
        refuses::<Processes>(&[
            ("0", "`enabled = false` turns a stage off"),
            ("-1", "can't have -1 processes"),
            ("4001", "too many"),
            ("\"4\"", "did you mean 4, without quotes?"),
            ("\"CPUs\"", "did you mean \"cpus\"?"),
            ("\"several\"", "is no number of processes"),
            ("2.5", "expected a whole number"),
        ]);
    }
}
