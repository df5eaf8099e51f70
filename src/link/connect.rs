//! The way to Redis: files with secrets are read at each connection, so that a password can be changed under a running machine.

use super::driver::Connect;
use super::request::LinkRequest;
use crate::broker::Fault;
use crate::broker::redis::{Access, Redis};
use std::rc::Rc;

#[derive(Clone)]
pub(super) struct ToRedis(pub(super) Rc<LinkRequest>);

impl Connect for ToRedis {
    type Broker = Redis;

    async fn join(&self) -> Result<Redis, Fault> {
        let request = &self.0;
        // A file that is being replaced is there again in a moment.
        let (url, tls_ca) = request.plan.broker.read_files().map_err(|(_, why)| Fault::Away(why))?;
        let access = Access { url: url.with_secrets().to_owned(), tls_ca };
        Redis::join(&access, &request.layout(), &request.membership()).await
    }
}
