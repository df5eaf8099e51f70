//! Paths with fields in braces: `warn-{date}.jsonl`.

use super::Setting;
use super::template::{Part, parse};
use crate::sys::local_time;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::SystemTime;

/// `{date}` in the words of strftime.
const DATE: &str = "%Y-%m-%d";
/// What may follow a `%`: what strftime(3) knows of times, without `%D` and `%x`, whose slashes would make folders.
const CONVERSIONS: &str = "aAbBCdeFgGhHIjklmMpPrRsSTuUVwWyYzZ";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Stage,
    Worker,
    /// A time, in this format.
    Time(String),
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathTemplate {
    written: String,
    parts: Vec<Part<Field>>,
}

impl PathTemplate {
    /// As it stands in the pipeline file.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// Whether it is the same path for all workers of a stage, at all times.
    pub(crate) fn is_constant(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Field(Field::Worker | Field::Time(_))))
    }

    /// The folder of all its paths for a stage: what stands before the first name that depends on a worker or on the
    /// time. A path at the root has no folder but the whole system: that is the path itself.
    pub(crate) fn folder(&self, stage: &str) -> PathBuf {
        let mut fixed = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => fixed.push_str(text),
                Part::Field(Field::Stage) => fixed.push_str(stage),
                Part::Field(Field::Worker | Field::Time(_)) => break,
            }
        }
        match fixed.rfind('/') {
            Some(0) => fixed.into(),
            Some(end) => fixed[..end].into(),
            None => PathBuf::new(),
        }
    }

    /// The path for a worker at a moment.
    pub(crate) fn render(&self, stage: &str, worker: u32, now: SystemTime) -> String {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Field(Field::Stage) => path.push_str(stage),
                Part::Field(Field::Worker) => path.push_str(&worker.to_string()),
                // A time that there is no text for is one that no clock shows.
                Part::Field(Field::Time(format)) => {
                    path.push_str(local_time::format(format, now).as_deref().unwrap_or("unknown-time"));
                }
            }
        }
        path
    }
}

fn field(text: &str) -> Result<Field, String> {
    match text.split_once(':') {
        None if text == "stage" => Ok(Field::Stage),
        None if text == "worker" => Ok(Field::Worker),
        None if text == "date" => Ok(Field::Time(DATE.to_owned())),
        None if text == "time" => Err("has a {time} without a format: write {time:%H%M}, say".to_owned()),
        Some(("time", format)) => time(format).map(|()| Field::Time(format.to_owned())),
        Some((name @ ("stage" | "worker" | "date"), _)) => {
            Err(format!("has a format behind {{{name}}}: only {{time:FORMAT}} takes one"))
        }
        _ => Err(format!(
            "has an unknown field {{{text}}}: it knows {{stage}} {{worker}} {{date}} {{time:FORMAT}} \
             (write `{{{{` for the character itself)"
        )),
    }
}

fn time(format: &str) -> Result<(), String> {
    let bad = |what: String| Err(format!("has {{time:{format}}}, {what}"));
    let mut characters = format.chars();
    let mut any = false;
    while let Some(character) = characters.next() {
        if character != '%' {
            continue;
        }
        match characters.next() {
            Some('%') => {}
            Some(conversion) if CONVERSIONS.contains(conversion) => any = true,
            Some('D' | 'x') => return bad("whose text has slashes: write %F or %y%m%d".to_owned()),
            Some(other) => {
                return bad(format!("and there is no %{other}: %Y %m %d %H %M %S are the most common ones"));
            }
            None => return bad("which ends with a lone % (write %% for the character itself)".to_owned()),
        }
    }
    if any { Ok(()) } else { bad("which has no time in it: write {time:%Y-%m-%d}, say".to_owned()) }
}

impl Setting for PathTemplate {
    fn schema() -> Value {
        json!({"type": "string", "examples": ["out.txt", "{stage}-{date}.jsonl", "{time:%Y-%m-%dT%H}.log"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        let written = String::parse(written)?;
        Ok(PathTemplate { parts: parse(&written, field)?, written })
    }
    fn show(&self) -> Value {
        json!(self.written)
    }
    fn placeholder() -> Self {
        PathTemplate { written: String::new(), parts: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parsed(path: &str) -> Result<PathTemplate, String> {
        PathTemplate::parse(&json!(path))
    }

    #[test]
    fn the_fields_of_a_path_are_filled_in() {
        let june = SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_500_000);
        let show = |path| parsed(path).unwrap().render("out", 3, june);
        let date = local_time::format("%Y-%m-%d", june).unwrap();
        assert_eq!(show("a/{stage}-{worker}.{date}"), format!("a/out-3.{date}"));
        assert_eq!(show("{time:%Y}{{x}}{time:%%%Y:}"), "2026{x}%2026:");
        assert_eq!(show(""), "");
    }

    #[test]
    fn the_path_changes_with_the_time_that_it_names() {
        let path = parsed("{time:%H%M}").unwrap();
        let (first, second) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(60));
        assert_ne!(path.render("", 0, first), path.render("", 0, second));
        assert!(!path.is_constant() && !parsed("{worker}").unwrap().is_constant());
        assert!(parsed("{stage}").unwrap().is_constant());
    }

    #[test]
    fn faults_of_a_path_say_what_to_write() {
        for (path, says) in [
            ("{day}", "unknown field {day}: it knows {stage} {worker} {date} {time:FORMAT}"),
            ("{item}", "unknown field {item}"),
            ("{}", "unknown field {}"),
            ("{time}", "write {time:%H%M}"),
            ("{time:}", "no time in it"),
            ("{time:YYYY}", "no time in it: write {time:%Y-%m-%d}"),
            ("{time:%Q}", "there is no %Q"),
            ("{time:%D}", "slashes: write %F"),
            ("{time:%Y%}", "a lone %"),
            ("{date:%Y}", "only {time:FORMAT} takes one"),
            ("{date", "`{` without its `}`"),
            ("date}", "`}` without its `{`"),
        ] {
            let fault = parsed(path).unwrap_err();
            assert!(fault.contains(says), "{path}: {fault}");
        }
    }
}
