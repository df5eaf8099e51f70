//! Of a build without brokers, which refuses every file that names one: there is no way to visit a run.

use super::{Dropped, Fault, Forgotten, HeldPipeline, Layout, Letter, Member, Overview, Retried, Sequence};

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

    pub async fn machines(&self) -> Result<Vec<Member>, Fault> {
        match *self {}
    }

    pub async fn letters(&self, _: usize, _: Option<Sequence>, _: usize) -> Result<Vec<Letter>, Fault> {
        match *self {}
    }

    pub async fn letter(&self, _: usize, _: Sequence) -> Result<Option<Letter>, Fault> {
        match *self {}
    }

    pub async fn retry(&self, _: usize, _: &[Sequence]) -> Result<Vec<Retried>, Fault> {
        match *self {}
    }

    pub async fn discard(&self, _: usize, _: &[Sequence]) -> Result<u64, Fault> {
        match *self {}
    }
}

/// See `redis::Inventory`.
pub enum Inventory {}

impl Inventory {
    pub async fn open(_: &Access) -> Result<Inventory, Fault> {
        Err(Fault::Fatal("this mprun was built without brokers".into()))
    }

    pub async fn pipelines(&self) -> Result<Vec<HeldPipeline>, Fault> {
        match *self {}
    }

    pub async fn pipeline(&self, _: &str, _: &str) -> Result<Option<HeldPipeline>, Fault> {
        match *self {}
    }

    pub async fn drop(&self, _: &HeldPipeline, _: bool) -> Result<Dropped, Fault> {
        match *self {}
    }
}
