//! Where a stage sends which items.

use serde::{Deserialize, Serialize};

/// One rule of `routes`. The first that holds for an item counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// A condition; none holds for every item.
    pub when: Option<String>,
    /// The queue that gets the item; none: it is dropped.
    pub to: Option<String>,
}
