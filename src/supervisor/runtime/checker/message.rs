//! What the supervisor and the helper that makes checks say to each other: JSON, a line each. Both are the same program, so
//! this is no format for others.

use crate::config::pipeline::{Check, Command};
use crate::supervisor::machine::condition::{Finding, Purpose};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is to be found out about the process in this slot from now on; `None`: nothing more.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub slot: u16,
    /// Comes back with each report: no other request has it.
    pub number: u64,
    pub task: Option<Task>,
}

/// A course of checks, and what its programs are started with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub purpose: Purpose,
    /// The process's own, where its number is part of an address.
    pub check: Check,
    pub stage: String,
    pub worker: u32,
    /// How the service is started.
    pub service: Command,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// The limit of open files that programs get, if this process has another one.
    pub soft_open_files: Option<u64>,
}

/// News of a course of checks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub slot: u16,
    pub number: u64,
    pub finding: Finding,
}
