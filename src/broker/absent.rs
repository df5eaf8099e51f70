//! Of a build without brokers, which refuses every file that names one: there is no way to visit a run.

use super::{Fault, Forgotten, Layout, Overview};

/// See `redis::Access`.
pub struct Access {
    pub url: String,
    pub tls_ca: Option<Vec<u8>>,
}

/// See `redis::Visitor`.
pub enum Visitor {}

impl Visitor {
    pub async fn open(_: &Access, _: &Layout) -> Result<Option<Visitor>, Fault> {
        Ok(None)
    }

    pub async fn watch(&self) -> Result<(), Fault> {
        match *self {}
    }

    pub async fn overview(&self) -> Result<Overview, Fault> {
        match *self {}
    }

    pub async fn forget(&self, _: &str) -> Result<Forgotten, Fault> {
        match *self {}
    }
}
