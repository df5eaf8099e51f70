//! On which machines a stage runs.

use serde::{Deserialize, Serialize};

/// `machines`: on how many of the machines that have a stage in their files it works at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machines {
    /// On each of them.
    #[default]
    All,
    /// On one; another takes over from its position when that one is gone.
    One,
}
