//! `sum`: adds up.

use crate::item::Shown;
use crate::stage::{Context, Emitter, Failure, Item, Persistence, Settings, Stage};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Sum, Failure> + use<> {
    with.about(
        "Adds whole numbers and emits the sum when the input has ended: exactly once, whatever was killed.",
    );
    with.remember(Persistence::State);
    |_| Ok(Sum::default())
}

/// See [`build`].
#[derive(Default)]
pub(super) struct Sum {
    sum: i128,
}

impl Stage for Sum {
    fn process(&mut self, item: &Item<'_>, _out: &mut Emitter<'_>) -> Result<(), Failure> {
        let not_a_number = || Failure::new(format!("`{}` is not a whole number to add", Shown(item.bytes())));
        let text = std::str::from_utf8(item.bytes()).map_err(|_| not_a_number())?;
        let number: i128 = text.trim().parse().map_err(|_| not_a_number())?;
        let sum = self.sum.checked_add(number);
        self.sum = sum.ok_or_else(|| Failure::new(format!("the sum is too large with `{number}`")))?;
        Ok(())
    }

    fn finish(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        out.emit(self.sum.to_string())
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(&self.sum.to_le_bytes());
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.sum = i128::from_le_bytes(state.try_into().map_err(|_| super::position::damaged())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::through;
    use super::*;
    use serde_json::json;

    #[test]
    fn it_emits_the_sum_at_the_end() {
        assert_eq!(
            through("sum", json!({}), &["1", " 2", "-10", "9223372036854775807"]),
            ["9223372036854775800"]
        );
        assert_eq!(through("sum", json!({}), &[]), ["0"]);
    }

    #[test]
    fn a_failed_item_leaves_the_sum_as_it_was() {
        let mut sum = Sum { sum: i128::MAX };
        for item in [&b"1"[..], b"x", b"", b"\xff"] {
            assert!(sum.process(&Item::new(item), &mut Emitter::new(&mut Vec::new())).is_err());
        }
        assert_eq!(sum.sum, i128::MAX);
    }
}
