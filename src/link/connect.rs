//! The way to the broker: files with secrets are read at each connection, so that a password can be changed under a running machine.

use super::driver::Connect;
use super::request::LinkRequest;
use crate::broker::{AnyBroker, Broker, Fault};
use std::cell::Cell;
use std::rc::Rc;

#[derive(Clone)]
pub(super) struct ToBroker {
    request: Rc<LinkRequest>,
    /// The run that this machine is in: another one may have begun meanwhile.
    joined: Rc<Cell<Option<u64>>>,
}

impl ToBroker {
    pub(super) fn new(request: Rc<LinkRequest>) -> ToBroker {
        let joined = Rc::new(Cell::new(request.joined));
        ToBroker { request, joined }
    }
}

impl Connect for ToBroker {
    type Broker = AnyBroker;

    async fn join(&self) -> Result<AnyBroker, Fault> {
        let request = &self.request;
        // A file that is being replaced is there again in a moment.
        let access = request.plan.broker.read_files().map_err(|(_, why)| Fault::Away(why))?;
        let who = request.membership(self.joined.get());
        let broker = AnyBroker::join(&access, &request.layout(), &who).await?;
        self.joined.set(Some(broker.joined().run));
        Ok(broker)
    }
}
