//! `ready` and `health`: how a service shows that it can serve, and that it still does.

use super::Invocation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How a process of a service is looked at, and how often. `{worker}` in it stands for the number of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// A program that ends with exit code 0.
    Command(Invocation),
    /// `HOST:PORT` takes a connection.
    Tcp(String),
    /// The address answers a GET with a status from 200 to 399.
    Http(String),
    /// The service writes a line that matches this regular expression.
    Line(String),
    /// The service sends `READY=1` to `NOTIFY_SOCKET`.
    Notify,
}

/// `ready`, and most of `health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub probe: Probe,
    /// From the end of one try to the beginning of the next.
    pub every: Duration,
    /// `ready`: from the start of the program to its being ready. `health`: the longest that one try may take.
    pub timeout: Duration,
}

/// `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub check: Check,
    /// So many failed tries in a row are a restart.
    pub failures: u32,
}

impl Probe {
    /// Whether tries are made. Otherwise the service says something by itself.
    pub fn is_tried(&self) -> bool {
        match self {
            Probe::Command(_) | Probe::Tcp(_) | Probe::Http(_) => true,
            Probe::Line(_) | Probe::Notify => false,
        }
    }

    /// For one process of the stage.
    #[must_use]
    pub fn of_worker(&self, index: u32) -> Probe {
        let text = |text: &String| crate::text::numbered(text, index);
        match self {
            Probe::Tcp(address) => Probe::Tcp(text(address)),
            Probe::Http(url) => Probe::Http(text(url)),
            // The words of a command are put in where it is started.
            Probe::Command(_) | Probe::Line(_) | Probe::Notify => self.clone(),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Command(Invocation::Direct(words)) => write!(f, "command {}", words.join(" ")),
            Probe::Command(Invocation::Shell(line)) => write!(f, "command {line}"),
            Probe::Tcp(address) => write!(f, "tcp {address}"),
            Probe::Http(url) => write!(f, "http {url}"),
            Probe::Line(pattern) => write!(f, "line {pattern}"),
            Probe::Notify => f.write_str("notify"),
        }
    }
}
