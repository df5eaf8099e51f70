//! A key that its table does not have, for those who know what other tables there are.

use serde_json::Value;

/// What is known of it where it was read.
#[derive(Clone, Debug)]
pub(crate) struct UnknownKey {
    /// The key.
    pub key: String,
    /// The table, as it fits after "unknown key of ".
    pub table: &'static str,
    /// Its value, if JSON has such a one.
    pub value: Option<Value>,
    /// It is another word for a key of the table, which takes such a value.
    pub is_other_word: bool,
    /// What stands beside it in the same table.
    pub beside: Beside,
}

/// Keys that say what a table is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    /// The value of `use`.
    pub uses: Option<String>,
    /// Whether there is a `command`.
    pub has_command: bool,
    /// Whether there is a `with`.
    pub has_with: bool,
}
