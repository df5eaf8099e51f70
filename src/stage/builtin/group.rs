//! `group`: several items as one, for programs that take many arguments (`max_args`).

use crate::stage::{Context, Emitter, Failure, Item, Persistence, Settings, Stage};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Group, Failure> + use<> {
    with.about(
        "Makes one item of several that follow each other, with a zero byte between them, as `max_args` takes them apart.",
    );
    let doc = "How many: it waits until it has them all; only the last item may be of fewer.";
    let size = with.key("size", doc).at_least(1).required();
    with.remember(Persistence::State);
    move |_| Ok(Group { size, count: 0, bytes: Vec::new() })
}

/// See [`build`].
pub(super) struct Group {
    size: u64,
    /// Items gathered so far.
    count: u64,
    /// Them, with a zero byte between.
    bytes: Vec<u8>,
}

impl Group {
    fn emit(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        out.emit(&self.bytes)?;
        self.count = 0;
        self.bytes.clear();
        Ok(())
    }
}

impl Stage for Group {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        if item.bytes().contains(&0) {
            return Err(Failure::new(
                "the item holds a zero byte, which stands between the items of a group",
            ));
        }
        if self.count > 0 {
            self.bytes.push(0);
        }
        self.bytes.extend_from_slice(item.bytes());
        self.count += 1;
        if self.count >= self.size { self.emit(out) } else { Ok(()) }
    }

    fn finish(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        if self.count > 0 { self.emit(out) } else { Ok(()) }
    }

    fn save(&self, state: &mut Vec<u8>) {
        super::position::save_number(self.count, state);
        state.extend_from_slice(&self.bytes);
    }

    fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        self.count = super::position::take_number(&mut state)?;
        self.bytes = state.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{open_stage, through};
    use crate::stage::{Emitter, Item};
    use serde_json::json;

    #[test]
    fn a_group_is_full_but_for_the_last() {
        let of = |size: u64, items: &[&str]| through("group", json!({ "size": size }), items);
        assert_eq!(of(2, &["a", "b", "c"]), ["a\0b", "c"]);
        assert_eq!(of(2, &["", "", ""]), ["\0", ""]);
        assert_eq!(of(1, &["a", "b"]), ["a", "b"]);
        assert!(of(3, &[]).is_empty());
    }

    #[test]
    fn another_worker_goes_on_in_the_middle_of_a_group() {
        let mut seen = Vec::new();
        let mut state = Vec::new();
        for item in ["a", "b", "c", "d"] {
            let mut stage = open_stage("group", json!({ "size": 3 }));
            if !state.is_empty() {
                stage.restore(&state).unwrap();
            }
            stage.process(&Item::new(item.as_bytes()), &mut Emitter::new(&mut seen)).unwrap();
            state.clear();
            stage.save(&mut state);
        }
        assert_eq!(seen, [b"a\0b\0c"]);
    }

    #[test]
    fn an_item_with_a_zero_byte_fails_and_spoils_no_group() {
        let mut stage = open_stage("group", json!({ "size": 2 }));
        let mut seen = Vec::new();
        let mut out = Emitter::new(&mut seen);
        stage.process(&Item::new(b"a"), &mut out).unwrap();
        assert!(stage.process(&Item::new(b"x\0y"), &mut out).is_err());
        stage.process(&Item::new(b"b"), &mut out).unwrap();
        assert_eq!(seen, [b"a\0b"]);
    }
}
