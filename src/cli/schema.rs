//! `mprun schema`.

use super::output::{self, Failure};
use crate::config;
use crate::exit;
use crate::stage::Registry;

/// Prints the JSON schema of pipeline files.
pub fn run(registry: &Registry) -> Result<u8, Failure> {
    // `#` asks for indentation; a JSON value has no other way to fail or to look.
    output::print(&format!("{:#}\n", config::schema(registry)))?;
    Ok(exit::DONE)
}
