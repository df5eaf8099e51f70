//! `mprun check --online FILE`: asks the broker that the file names.

use crate::broker::{AnyBroker, Fault};
use crate::config::{Broker, Pipeline};

/// What the broker was found to be.
pub(super) enum Answer {
    /// The file names none.
    NoBroker,
    /// It takes this pipeline; what its settings don't protect from.
    Good(Vec<String>),
    /// Why it does not, or did not answer.
    Bad(Fault),
}

/// Connects, looks at the broker's settings and at what it holds of the pipeline, and changes nothing there.
pub(super) fn ask(pipeline: &Pipeline) -> Answer {
    let Some(broker) = &pipeline.broker else { return Answer::NoBroker };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::Away(error.to_string()));
    let examined = runtime.and_then(|runtime| runtime.block_on(examine(broker, &pipeline.name)));
    examined.map_or_else(Answer::Bad, Answer::Good)
}

async fn examine(broker: &Broker, pipeline: &str) -> Result<Vec<String>, Fault> {
    let access = broker.read_files().map_err(|(_, why)| Fault::Fatal(why))?;
    AnyBroker::examine(&access, &broker.layout(pipeline), broker.access.allow_loss).await
}
