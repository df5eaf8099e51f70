//! The end of a run: the summary in the log, and the report.

pub mod contents;
mod markdown;
pub mod report;
pub mod summary;
