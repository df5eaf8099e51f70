//! Where a file says what it needs of the machine.

use crate::config::diagnostic::Place;
use std::collections::BTreeMap;

/// The places of some keys, by stage and key.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<(String, &'static str), Place>);

impl Places {
    /// Notes where a key's value stands.
    pub fn note(&mut self, stage: &str, key: &'static str, place: &Place) {
        self.0.insert((stage.to_owned(), key), place.clone());
    }

    /// Where it stands, if the file sets it.
    pub fn of(&self, stage: &str, key: &'static str) -> Option<&Place> {
        self.0.get(&(stage.to_owned(), key))
    }
}
