//! `parse`: JSON out of lines.

mod settings;

use crate::item::Shown;
use crate::stage::{Context, Emitter, Failure, Item, Settings, Stage};
use memchr::memchr2;
use regex::Regex;
use serde_json::{Map, Value};
use settings::{As, OnError, regex};

/// The words of `on_error` that name no queue.
const WORDS: &[&str] = &["fail", "drop"];

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Parse, Failure> + use<> {
    with.about("Makes JSON items of lines, for conditions (docs/conditions.md).");
    let doc = "\"json\": the item is JSON, and leaves without white space between its parts. \"regex\": an object of the named \
               groups of `pattern`, as texts.";
    let form: As = with.key("as", doc).required();
    let doc = "With \"regex\": the regular expression, found anywhere in the item, such as '^(?<ip>\\S+) (?<status>\\d+)$'.";
    let pattern: Option<String> = with.key("pattern", doc).optional();
    let doc = "What becomes of an item that is no JSON, or in which `pattern` is not found: \"fail\": it is a dead letter. \"drop\": it \
               is dropped. Or the name of a queue: that is one more output of the stage, and gets the item as it is.";
    let on_error = with.key("on_error", doc).or(OnError::Fail);
    with.names_output("on_error", WORDS);
    let parser = parser(form, pattern, with);
    move |context| {
        let on_error = match on_error {
            OnError::Fail => Unparsed::Failed,
            OnError::Drop => Unparsed::Dropped,
            OnError::Queue(name) => {
                let output = context.output(&name);
                Unparsed::To(
                    output.ok_or_else(|| Failure::fatal(format!("the stage does not write {name}")))?,
                )
            }
        };
        Ok(Parse { parser, on_error, buffer: Vec::new() })
    }
}

fn parser(form: As, pattern: Option<String>, with: &mut Settings<'_>) -> Parser {
    match (form, pattern) {
        (As::Json, Some(_)) if with.is_good() => {
            with.fault("pattern", "`pattern` goes with as = \"regex\"", None);
            Parser::Json
        }
        (As::Regex, None) if with.is_good() => {
            let help = "such as `pattern = '^(?<ip>\\S+) (?<status>\\d+)$'`".to_owned();
            with.fault("as", "as = \"regex\" needs a `pattern`", Some(help));
            Parser::Json
        }
        (As::Regex, Some(pattern)) => match regex(&pattern) {
            Ok(regex) => Parser::Groups(regex),
            Err((place, message)) => {
                with.fault_within("pattern", place, message, None);
                Parser::Json
            }
        },
        (As::Json | As::Regex, _) => Parser::Json,
    }
}

/// See [`build`].
pub(super) struct Parse {
    parser: Parser,
    on_error: Unparsed,
    /// The item that leaves.
    buffer: Vec<u8>,
}

enum Parser {
    Json,
    Groups(Regex),
}

/// Where an item goes that can't be parsed.
#[derive(Clone, Copy)]
enum Unparsed {
    Failed,
    Dropped,
    To(usize),
}

impl Stage for Parse {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        self.buffer.clear();
        let parsed = match &self.parser {
            Parser::Json => compact(item.bytes(), &mut self.buffer),
            Parser::Groups(regex) => groups(regex, item.bytes(), &mut self.buffer),
        };
        match (parsed, self.on_error) {
            (Ok(()), _) => out.emit(&self.buffer),
            // Another attempt would end in the same way.
            (Err(why), Unparsed::Failed) => Err(Failure::reject(why)),
            (Err(_), Unparsed::Dropped) => Ok(()),
            (Err(_), Unparsed::To(output)) => out.emit_to(output, item.bytes()),
        }
    }
}

/// JSON without white space between its parts. Numbers, texts and keys stay as they are written.
fn compact(item: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(item).map_err(|error| format!("the item is not JSON: {error}"))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| format!("the item is not JSON: {error}"))?;
    let mut rest = item;
    while let Some((&first, after)) = rest.split_first() {
        let len = match first {
            b'"' => 1 + length_of_text(after),
            _ => after.iter().position(|&byte| byte == b'"').map_or(rest.len(), |quote| 1 + quote),
        };
        let (part, behind) = rest.split_at(len);
        match first {
            b'"' => into.extend_from_slice(part),
            _ => into.extend(part.iter().filter(|byte| !byte.is_ascii_whitespace())),
        }
        rest = behind;
    }
    Ok(())
}

/// Bytes of a text of JSON after its first quote, with the last one.
fn length_of_text(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at = (at + 1).min(text.len());
    }
    text.len()
}

/// The named groups that took part in the match, in the order of the pattern.
fn groups(regex: &Regex, item: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(item).map_err(|error| format!("the item is not UTF-8 text: {error}"))?;
    let found = regex.captures(text).ok_or_else(|| format!("`{}` does not match `pattern`", Shown(item)))?;
    let named = regex.capture_names().flatten();
    let fields = named.filter_map(|name| Some((name.to_owned(), Value::from(found.name(name)?.as_str()))));
    let object: Map<String, Value> = fields.collect();
    serde_json::to_writer(into, &object).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sorted, faults, open, open_stage, through};
    use super::*;
    use crate::stage::{Opened, Reach};
    use serde_json::json;

    #[test]
    fn json_leaves_without_white_space_and_otherwise_as_it_is() {
        for (item, compact) in [
            (
                "{ \"a\" : 1.0 , \"b c\" : [ 1e2, 123456789012345678901 ] }",
                "{\"a\":1.0,\"b c\":[1e2,123456789012345678901]}",
            ),
            (" \"x \\\" y \\\\\" ", "\"x \\\" y \\\\\""),
            ("\t[\"a \", \" b\"]\r", "[\"a \",\" b\"]"),
            ("{\"ä\":\"ö \"}", "{\"ä\":\"ö \"}"),
            ("7", "7"),
        ] {
            assert_eq!(through("parse", json!({"as": "json"}), &[item]), [compact]);
        }
        let deep = format!("{}1 {}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(through("parse", json!({"as": "json"}), &[&deep])[0].len(), deep.len() - 1);
    }

    #[test]
    fn named_groups_become_fields() {
        let with =
            json!({"as": "regex", "pattern": r"^(?<ip>\S+) (?P<method>[A-Z]+) (\S+)(?: (?<ms>\d+)ms)?$"});
        let lines = ["10.0.0.1 GET /a 15ms", "::1 POST /\"x\""];
        let objects = [r#"{"ip":"10.0.0.1","method":"GET","ms":"15"}"#, r#"{"ip":"::1","method":"POST"}"#];
        assert_eq!(through("parse", with, &lines), objects);
    }

    #[test]
    fn what_can_not_be_parsed_fails_at_once_or_is_dropped() {
        let fail = |with: Value, item: &[u8]| {
            let mut stage = open_stage("parse", with);
            stage.process(&Item::new(item), &mut Emitter::new(&mut Vec::new())).unwrap_err()
        };
        let regex = json!({"as": "regex", "pattern": "(?<n>[0-9]+)"});
        for (failure, said) in [
            (
                fail(json!({"as": "json"}), b"{x}"),
                "the item is not JSON: key must be a string at line 1 column 2",
            ),
            (
                fail(json!({"as": "json"}), b"1 2"),
                "the item is not JSON: trailing characters at line 1 column 3",
            ),
            (fail(regex.clone(), b"abc"), "`abc` does not match `pattern`"),
        ] {
            assert_eq!((failure.to_string().as_str(), failure.reach()), (said, Reach::Rejected));
        }
        assert!(fail(json!({"as": "json"}), b"\"\xff\"").to_string().contains("invalid utf-8"));
        assert!(fail(regex, b"1\xff").to_string().contains("invalid utf-8"));
        assert_eq!(through("parse", json!({"as": "json", "on_error": "drop"}), &["x", "1"]), ["1"]);
    }

    #[test]
    fn what_can_not_be_parsed_goes_to_a_queue_as_it_is() {
        let context = Context { outputs: vec!["good".into(), "bad".into()], ..Context::default() };
        let Opened::Stage(mut stage) = open("parse", json!({"as": "json", "on_error": "bad"}), &context)
        else {
            unreachable!()
        };
        let mut out = Sorted::default();
        for item in [" 1", " x"] {
            stage.process(&Item::new(item.as_bytes()), &mut Emitter::new(&mut out)).unwrap();
        }
        assert_eq!(out.0, [(usize::MAX, "1".to_owned()), (1, " x".to_owned())]);
    }

    #[test]
    fn faults_of_a_pattern_have_their_place() {
        let fault = |pattern: &str| faults("parse", json!({"as": "regex", "pattern": pattern})).remove(0);
        let open = fault("^(?<a>x) (b");
        assert_eq!(
            (open.message.as_str(), open.within),
            ("this is no regular expression: unclosed group", Some(9..10))
        );
        assert!(fault("^a(b)$").message.contains("no named group"));
        assert_eq!(fault("(?<n>\\p{Nope})").within, Some(5..13));
        assert_eq!(faults("parse", json!({"as": "regex"}))[0].message, "as = \"regex\" needs a `pattern`");
        assert_eq!(
            faults("parse", json!({"as": "json", "pattern": "(?<a>x)"}))[0].message,
            "`pattern` goes with as = \"regex\""
        );
        assert_eq!(faults("parse", json!({"as": "json", "on_error": "no name"})).len(), 1);
    }
}
