//! `discard`: takes items and does nothing with them.

use crate::stage::{Context, Emitter, Failure, Item, Settings, Stage};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Discard, Failure> + use<> {
    with.about("Takes items and does nothing with them.");
    |_| Ok(Discard)
}

/// See [`build`].
pub(super) struct Discard;

impl Stage for Discard {
    fn process(&mut self, _item: &Item<'_>, _out: &mut Emitter<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
