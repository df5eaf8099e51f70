//! The end of a run: the summary in the log, and the report.

pub(crate) mod contents;
mod markdown;
pub(crate) mod report;
pub(crate) mod summary;
