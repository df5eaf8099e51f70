//! Why a broker takes nothing of a machine.

use serde::{Deserialize, Serialize};

/// For now: each of these may pass in the middle of a run.
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
    /// It takes no items now, or its settings would lose them.
    Unfit,
}

impl Outage {
    /// Whether nothing but another secret or other settings helps where there has been no connection yet.
    pub fn is_final_at_a_start(self) -> bool {
        matches!(self, Outage::Denied | Outage::Unfit)
    }
}
