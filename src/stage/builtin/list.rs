//! `list`: the items that stand in the file.

use super::position::{restore_number, save_number};
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Progress, Setting, Settings, Source};
use data_encoding::BASE64;
use serde_json::{Value, json};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<List, Failure> + use<> {
    with.about("Emits the items of a list in the file.");
    let doc = "The items: texts, or bytes of any kind as { base64 = \"…\" }.";
    let Items(items) = with.key("items", doc).required();
    with.remember(Persistence::State);
    with.ends(true);
    move |_| Ok(List { items, position: 0 })
}

/// See [`build`].
pub(super) struct List {
    items: Vec<Vec<u8>>,
    /// Items emitted so far.
    position: u64,
}

impl Source for List {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        let item = usize::try_from(self.position).ok().and_then(|at| self.items.get(at));
        let Some(item) = item else { return Ok(Next::End) };
        out.emit(item)?;
        self.position += 1;
        Ok(Next::More)
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress { done: self.position, total: self.items.len() as u64 })
    }

    fn save(&self, state: &mut Vec<u8>) {
        save_number(self.position, state);
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.position = restore_number(state)?;
        Ok(())
    }
}

struct Items(Vec<Vec<u8>>);

impl Setting for Items {
    fn schema() -> Value {
        let bytes = json!({
            "type": "object",
            "properties": { "base64": { "type": "string", "description": "The bytes." } },
            "required": ["base64"],
            "additionalProperties": false,
        });
        json!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, bytes] } })
    }

    fn parse(written: &Value) -> Result<Items, String> {
        let items = written.as_array().ok_or_else(|| format!("takes a list, not {written}"))?;
        items.iter().map(item).collect::<Result<_, _>>().map(Items)
    }

    fn show(&self) -> Value {
        json!(self.0.iter().map(|item| String::from_utf8_lossy(item)).collect::<Vec<_>>())
    }

    fn placeholder() -> Items {
        Items(Vec::new())
    }
}

fn item(written: &Value) -> Result<Vec<u8>, String> {
    let encoded = match written {
        Value::String(text) => return Ok(text.clone().into_bytes()),
        Value::Object(table) if table.len() == 1 => table.get("base64").and_then(Value::as_str),
        _ => None,
    };
    let refused = || format!("has {written}, which is neither a text nor {{ base64 = \"…\" }}");
    let encoded = encoded.ok_or_else(refused)?;
    BASE64.decode(encoded.as_bytes()).map_err(|error| format!("has {written}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{collect, faults, open_source};
    use crate::stage::Emitter;
    use serde_json::json;

    #[test]
    fn the_items_come_as_they_stand_there() {
        let with = json!({ "items": ["a b", "", "$(reboot)", "two\nlines"] });
        assert_eq!(collect(&mut open_source("list", with)), ["a b", "", "$(reboot)", "two\nlines"]);
        assert!(collect(&mut open_source("list", json!({ "items": [] }))).is_empty());
        let mut seen = Vec::new();
        let mut bytes = open_source("list", json!({ "items": [{ "base64": "/wBh" }] }));
        bytes.next(&mut Emitter::new(&mut seen)).unwrap();
        assert_eq!(seen, [b"\xff\0a"]);
    }

    #[test]
    fn another_worker_goes_on_at_the_saved_place() {
        let with = json!({ "items": ["a", "b", "c"] });
        let (mut first, mut second) = (open_source("list", with.clone()), open_source("list", with));
        first.next(&mut Emitter::new(&mut Vec::new())).unwrap();
        let mut state = Vec::new();
        first.save(&mut state);
        second.restore(&state).unwrap();
        assert_eq!(collect(&mut second), ["b", "c"]);
        state = u64::MAX.to_le_bytes().to_vec();
        second.restore(&state).unwrap();
        assert!(collect(&mut second).is_empty(), "the list of a reloaded file may be shorter");
    }

    #[test]
    fn what_is_no_item_is_a_fault() {
        for (items, word) in [
            (json!(7), "takes a list"),
            (json!([7]), "neither a text nor"),
            (json!([{ "base64": "%" }]), "base64"),
            (json!([{ "base64": "", "x": 1 }]), "neither a text nor"),
        ] {
            let faults = faults("list", json!({ "items": items }));
            assert!(faults[0].message.contains(word), "{faults:?}");
        }
    }
}
