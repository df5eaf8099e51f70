//! A snapshot as metrics, in the text formats that Prometheus scrapes.
//!
//! Counters end in `_total` and only grow during a run, times are in seconds, sizes in bytes. Every metric carries
//! `pipeline`, and `machine` where queues are shared with others; those of a stage `stage`, those of a queue `queue`.
#![forbid(unsafe_code)]

mod broker;
mod family;
mod monotone;
mod pipeline;
mod queues;
mod stages;

pub(crate) use monotone::Monotone;

use crate::status::Snapshot;
use family::Families;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;
use std::fmt;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus's own text, 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What the value of an `Accept` header asks for.
    pub(crate) fn accepted(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Text }
    }

    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Text => prometheus_text::CONTENT_TYPE,
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The metrics of a pipeline.
///
/// # Errors
/// Never: writing to memory does not fail.
pub(crate) fn encode(snapshot: Snapshot, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Seen(snapshot)));
    let mut text = String::new();
    match format {
        Format::Text => prometheus_text::encode(&mut text, &registry)?,
        Format::OpenMetrics => text::encode(&mut text, &registry)?,
    }
    Ok(text)
}

#[derive(Debug)]
struct Seen(Snapshot);

impl Collector for Seen {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let machine = self.0.broker.as_ref().map(|broker| broker.machine.as_str());
        let mut families = Families::new(encoder, &self.0.pipeline, machine);
        pipeline::encode(&self.0, &mut families)?;
        stages::encode(&self.0, &mut families)?;
        queues::encode(&self.0, &mut families)?;
        self.0.broker.as_ref().map_or(Ok(()), |seen| broker::encode(seen, &mut families))
    }
}

#[cfg(test)]
mod tests;
