//! Why a broker takes nothing of a machine.

use serde::{Deserialize, Serialize};

/// For now: each of these may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// It can't be reached, or is not ready.
    #[default]
    Unreachable,
    /// Its memory or its store has no room.
    Full,
    /// It does not let this machine in.
    Denied,
}
