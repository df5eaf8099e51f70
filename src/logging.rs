//! STUB for the config branch only.
pub fn init(_verbosity: i8, _who: Option<(&str, u32)>) {}
