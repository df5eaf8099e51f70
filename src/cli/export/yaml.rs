//! JSON values as YAML, the way people write it: texts of several lines as blocks.

use saphyr::{Mapping, ScalarStyle, Yaml, YamlEmitter};
use serde_json::Value;
use std::borrow::Cow;

/// A document, with its line of dashes.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    let mut emitter = YamlEmitter::new(&mut text);
    emitter.multiline(true);
    // Into a string: it can't fail.
    let _ = emitter.dump(&node(value));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn node(value: &Value) -> Yaml<'_> {
    match value {
        Value::Null => Yaml::Value(saphyr::Scalar::Null),
        Value::Bool(flag) => Yaml::Value(saphyr::Scalar::Boolean(*flag)),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| plain(number.to_string()), |number| Yaml::Value(saphyr::Scalar::Integer(number))),
        Value::String(text) => string(text),
        Value::Array(values) => Yaml::Sequence(values.iter().map(node).collect()),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (string(key), node(value)));
            Yaml::Mapping(entries.collect::<Mapping<'_>>())
        }
    }
}

fn plain(text: String) -> Yaml<'static> {
    Yaml::Representation(Cow::Owned(text), ScalarStyle::Plain, None)
}

/// A block can't hold the line ends of other systems. Older readers take words such as `1e3`, `012` or `1:30` for numbers.
fn string(text: &str) -> Yaml<'_> {
    let is_block = text.contains('\n') && !text.contains('\r');
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))
        && text.len() > 1;
    match is_block || is_plain {
        true => Yaml::Value(saphyr::Scalar::String(Cow::Borrowed(text))),
        false => {
            let quoted = Value::from(text).to_string();
            plain(quoted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::document;
    use saphyr::LoadableYamlNode;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let texts = [
            "",
            " ",
            "yes",
            "012",
            "1e3",
            "1:30",
            "a: b",
            "- x",
            "#",
            "é\u{1}\"\\",
            "two\nlines\n",
            "  indented\nx",
            "a\r\nb\n",
            "tail\n\n\n",
            "---\nx\n",
            "\n",
            "redis-1.x/y_z",
        ];
        for text in texts {
            let value = json!({ "key": text, "list": [text, true, 7], "empty": {}, "none": [] });
            let written = document(&value);
            let read = saphyr::Yaml::load_from_str(&written).unwrap();
            let [read] = &read[..] else { panic!("{written}") };
            assert_eq!(read["key"].as_str(), Some(text), "{written}");
            assert_eq!(read["list"][0].as_str(), Some(text), "{written}");
            assert_eq!((read["list"][1].as_bool(), read["list"][2].as_integer()), (Some(true), Some(7)));
        }
    }

    #[test]
    fn a_text_of_several_lines_is_a_block() {
        assert_eq!(
            document(&json!({ "data": { "b.toml": "x = 1\ny = 2\n" } })),
            "---\ndata:\n  b.toml: |\n    x = 1\n    y = 2\n"
        );
    }
}
