//! Families of metrics: one name, one sample for each stage, queue or whatever it is about.

use crate::status::Histogram;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use std::fmt;

/// Labels beside `pipeline`, and their values.
pub(super) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

pub(super) struct Families<'e, 'p> {
    encoder: DescriptorEncoder<'e>,
    pipeline: &'p str,
    machine: Option<&'p str>,
}

impl<'e, 'p> Families<'e, 'p> {
    /// `machine`: of several that run the pipeline.
    pub(super) fn new(
        encoder: DescriptorEncoder<'e>,
        pipeline: &'p str,
        machine: Option<&'p str>,
    ) -> Families<'e, 'p> {
        Families { encoder, pipeline, machine }
    }

    /// Numbers that only grow. The name comes without `_total`, which every counter gets.
    pub(super) fn counter<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, samples, |metric, value| {
            metric.encode_counter::<NoLabelSet, V, f64>(&value, None)
        })
    }

    /// Numbers that go up and down.
    pub(super) fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, samples, |metric, value| metric.encode_gauge(&value))
    }

    /// How often something took how long.
    pub(super) fn histogram<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, &'l Histogram)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, samples, |metric, times: &Histogram| {
            let bounds = times.bounds.iter().copied().chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(times.counts.iter().copied()).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(times.sum, count, &buckets, None)
        })
    }

    /// One sample for each state: 1 for the one that it is.
    pub(super) fn states<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &'l str,
        states: &[(&'l str, bool)],
    ) -> fmt::Result {
        self.gauge(name, help, states.iter().map(|(state, is)| ([(label, *state)], i64::from(*is))))
    }

    fn family<'l, const N: usize, V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
        mut write: impl FnMut(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let name = format!("mprun_{name}");
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.encoder.encode_descriptor(&name, help, None, kind)?;
        for (labels, value) in samples {
            let mut all = vec![("pipeline", self.pipeline)];
            all.extend(self.machine.map(|machine| ("machine", machine)));
            all.extend(labels);
            write(&mut metric.encode_family(&all)?, value)?;
        }
        Ok(())
    }
}
