//! YAML as the mapper wants it: mappings with merge keys (`<<`) resolved, and scalars as texts.

use saphyr::{LoadableYamlNode, MarkedYamlOwned, ScalarOwned, YamlDataOwned};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// Any scalar, as it would be written.
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries().iter().find(|(own, _)| own == key).map(|(_, value)| value)
    }

    /// Of a mapping; of anything else, none.
    pub(super) fn entries(&self) -> &[(String, Value)] {
        match self {
            Value::Map(entries) => entries,
            Value::Null | Value::Text(_) | Value::List(_) => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The texts of a list, or the only one.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Value::Text(text) => vec![text],
            Value::List(values) => values.iter().filter_map(Value::text).collect(),
            Value::Null | Value::Map(_) => Vec::new(),
        }
    }

    /// On one line, for a comment.
    pub(super) fn shown(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Text(text) => text.clone(),
            Value::List(values) => {
                format!("[{}]", values.iter().map(Value::shown).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key}: {}", value.shown())).collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
}

/// The first document of a text.
///
/// # Errors
/// What is wrong with it, with its line.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let load = |text: &str| {
        let documents = MarkedYamlOwned::load_from_str(text)?;
        let source = Source(text.chars().collect());
        Ok(documents.first().map_or(Value::Null, |node| source.value(node)))
    };
    load(text).or_else(|error: saphyr::ScanError| load(&indented(text)).map_err(|_| error.to_string()))
}

/// The grammar wants a closing bracket to stand deeper than the key that the brackets belong to. Many files have it right
/// below that, and most readers take it.
fn indented(text: &str) -> String {
    let closes = |line: &&str| line.trim_start().starts_with([']', '}']);
    text.lines()
        .map(|line| if closes(&line) { format!("    {line}\n") } else { format!("{line}\n") })
        .collect()
}

/// The characters of the file: how a number was written makes a difference.
struct Source(Vec<char>);

impl Source {
    fn value(&self, node: &MarkedYamlOwned) -> Value {
        match &node.data {
            YamlDataOwned::Value(ScalarOwned::Integer(number)) => {
                Value::Text(self.integer(node, *number).to_string())
            }
            YamlDataOwned::Value(scalar) => scalar_value(scalar),
            YamlDataOwned::Representation(text, ..) => Value::Text(text.clone()),
            YamlDataOwned::Sequence(nodes) => {
                Value::List(nodes.iter().map(|node| self.value(node)).collect())
            }
            YamlDataOwned::Mapping(_) => Value::Map(self.entries(node)),
            YamlDataOwned::Tagged(_, node) => self.value(node),
            YamlDataOwned::Alias(_) | YamlDataOwned::BadValue => Value::Null,
        }
    }

    /// Compose takes a number with a zero in front as octal, as YAML 1.1 did: `0755` is 493.
    fn integer(&self, node: &MarkedYamlOwned, number: i64) -> i64 {
        let written = self.0.get(node.span.start.index()..node.span.end.index()).unwrap_or_default();
        let written: String = written.iter().collect();
        let digits = written.trim().trim_start_matches(['+', '-']);
        let octal = digits.strip_prefix('0').and_then(|digits| i64::from_str_radix(digits, 8).ok());
        octal.map_or(number, |octal| if number < 0 { -octal } else { octal })
    }

    /// A mapping's own keys, then those that it merges and lacks.
    fn entries(&self, node: &MarkedYamlOwned) -> Vec<(String, Value)> {
        let YamlDataOwned::Mapping(mapping) = &node.data else { return Vec::new() };
        let (mut own, mut merged) = (Vec::new(), Vec::new());
        for (key, inner) in mapping {
            let name = self.value(key).shown();
            match (name.as_str(), &inner.data) {
                ("<<", YamlDataOwned::Sequence(nodes)) => {
                    merged.extend(nodes.iter().flat_map(|node| self.entries(node)))
                }
                ("<<", _) => merged.extend(self.entries(inner)),
                _ => own.push((name, self.value(inner))),
            }
        }
        for (key, value) in merged {
            if own.iter().all(|(name, _)| *name != key) {
                own.push((key, value));
            }
        }
        own
    }
}

fn scalar_value(scalar: &ScalarOwned) -> Value {
    Value::Text(match scalar {
        ScalarOwned::Null => return Value::Null,
        ScalarOwned::Boolean(flag) => flag.to_string(),
        ScalarOwned::Integer(number) => number.to_string(),
        ScalarOwned::FloatingPoint(number) => number.to_string(),
        ScalarOwned::String(text) => text.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_keys_stand_behind_own_ones() {
        let text = "x-a: &a {restart: always, n: 1}\nb:\n  <<: *a\n  n: 2\nc:\n  <<: [*a, {m: yes}]\n";
        let read = parse(text).unwrap();
        let shown = |key: &str| read.get(key).unwrap().shown();
        assert_eq!(
            (shown("b"), shown("c")),
            ("{n: 2, restart: always}".into(), "{restart: always, n: 1, m: yes}".into())
        );
    }

    #[test]
    fn scalars_are_texts_and_faults_have_a_line() {
        assert_eq!(parse("[1, 1.5, no, true, '~', ~]").unwrap().shown(), "[1, 1.5, no, true, ~, ]");
        assert_eq!(parse("a:\n  b: [\n    x,\n  ]\n").unwrap().shown(), "{a: {b: [x]}}");
        assert!(parse("a: [\n").unwrap_err().contains("line"));
        assert_eq!(parse("").unwrap(), Value::Null);
    }

    #[test]
    fn numbers_are_those_that_compose_reads() {
        let read = parse("é: [0755, -010, 00, 0, 0899, 0o17, 0x1F, '0755', 10, +07]\nb: 022\n").unwrap();
        assert_eq!(read.shown(), "{é: [493, -8, 0, 0, 899, 15, 31, 0755, 10, 7], b: 18}");
    }

    #[test]
    fn aliases_of_aliases_do_not_grow_without_bound() {
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for n in 1..30 {
            bomb += &format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9));
        }
        assert!(parse(&bomb).is_err());
    }
}
