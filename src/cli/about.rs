//! What mprun prints of itself: `version` and `schema`.

use super::output::{self, Failure};
use crate::config;
use crate::stage::Registry;

pub(super) fn version() -> Result<(), Failure> {
    output::print(concat!("mprun ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// The JSON schema of pipeline files.
pub(super) fn schema(registry: &Registry) -> Result<(), Failure> {
    // `#` asks for indentation; a JSON value has no other way to fail or to look.
    output::print(&format!("{:#}\n", config::schema(registry)))
}
