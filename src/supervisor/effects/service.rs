//! What the service manager is sent.

use super::performer::Performer;
use crate::service::Message;
use log::{Level, log};

impl Performer<'_> {
    pub(super) fn notify(&mut self, messages: &[Message]) {
        if let Err(error) = self.run.manager.tell(messages) {
            log!(target: "mprun", Level::Warn, "failed to tell the service manager {messages:?}: {error}");
        }
    }

    pub(super) fn status(&mut self, head: &str) {
        let mut queues = Vec::new();
        for (queue, name) in self.names.clone() {
            let Some(counts) = self.admin(|admin| admin.counts(queue)) else { return };
            queues.push((queue, name, counts));
        }
        let message = self.status_line.next(head, &queues);
        self.notify(&[message]);
    }
}
