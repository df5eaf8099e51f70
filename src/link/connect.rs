//! The way to the broker: files with secrets are read at each connection, so that a password can be changed under a running machine.

use super::driver::Connect;
use super::request::LinkRequest;
use crate::broker::{AnyBroker, Fault};
use std::rc::Rc;

#[derive(Clone)]
pub(super) struct ToBroker(pub(super) Rc<LinkRequest>);

impl Connect for ToBroker {
    type Broker = AnyBroker;

    async fn join(&self) -> Result<AnyBroker, Fault> {
        let request = &self.0;
        // A file that is being replaced is there again in a moment.
        let access = request.plan.broker.read_files().map_err(|(_, why)| Fault::Away(why))?;
        AnyBroker::join(&access, &request.layout(), &request.membership()).await
    }
}
