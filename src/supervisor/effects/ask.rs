//! Requests from the control socket: queries are answered here, commands go to the state.

use super::performer::Performer;
use crate::config::diagnostic::nearest;
use crate::control::protocol::{self, Answer, Done, Reason, Refused, Reply, Request};
use crate::queue::{PutBack, QueueId};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::RequestId;
use crate::supervisor::machine::observe::Moment;
use crate::supervisor::machine::state::State;
use tokio::sync::oneshot;

impl Performer<'_> {
    pub(super) fn handle_request(&mut self, request: Request, sender: oneshot::Sender<Reply>, state: &State) {
        let reply = match request {
            Request::Status(protocol::Status { history }) => {
                let mut snapshot = self.snapshot(state);
                if history {
                    state.fill_history(&mut snapshot, Moment::now());
                }
                Ok(Answer::Status(Box::new(snapshot)))
            }
            Request::Tap(tap) => self.tap(&tap).map(Answer::Tap),
            Request::Put(put) => self.put_back(&put).map(Answer::Done),
            Request::Machines => self.overview().map(Answer::Machines),
            Request::Audit => Ok(Answer::Audit(self.audit(state))),
            Request::Plan(plan) => return self.plan(&plan, sender),
            Request::Command(command) => {
                // A client that is gone needs no answer.
                self.requests.retain(|_, sender| !sender.is_closed());
                let id = RequestId(self.request_ids.next().unwrap_or(u64::MAX));
                self.requests.insert(id, sender);
                return self.events.push_back(Event::Asked(id, command));
            }
        };
        // A client that is gone meanwhile needs no answer.
        let _ = sender.send(reply);
    }

    pub(super) fn answer(&mut self, id: RequestId, outcome: Result<Done, Refused>) {
        if let Some(sender) = self.requests.remove(&id) {
            let _ = sender.send(outcome.map(Answer::Done));
        }
    }

    /// Puts an item back into its queue; a second request for the same letter changes nothing.
    fn put_back(&mut self, put: &protocol::Put) -> Result<Done, Refused> {
        let name = &put.queue;
        let queue = self.queue_called(name)?;
        if self.is_marked(queue) {
            let error = format!("the queue {name} lies in a broker: its dead letters are there, too");
            return Err(Refused { reason: Reason::NotPut, error });
        }
        let outcome = match put.only_asks {
            true => self.admin(|admin| admin.was_put_back(queue, put.key)),
            false => {
                let origin = put.origin.as_deref().and_then(|text| text.parse().ok());
                self.admin(|admin| admin.put_back(queue, &put.item, put.key, origin)).map(Some)
            }
        };
        let (reason, error) = match outcome {
            Some(Some(PutBack::Done | PutBack::Already)) => {
                return Ok(Done { done: format!("back in {name}"), steps: Vec::new() });
            }
            Some(None) => (Reason::NotPut, format!("it is not the last one that was put into {name}")),
            Some(Some(PutBack::Full)) => (Reason::Full, format!("the queue {name} is full")),
            Some(Some(PutBack::NotSafe)) => (
                Reason::Failed,
                format!("{name} can't be saved: the disk has not taken it in time; ask again"),
            ),
            Some(Some(PutBack::Ended)) => (
                Reason::Ended,
                format!(
                    "no stage reads the queue {name} any more: once this run has ended, `mprun dead retry` begins one for it"
                ),
            ),
            Some(Some(PutBack::TooLong)) => {
                (Reason::TooMany, format!("it is longer than max_item of the queue {name}"))
            }
            None => (Reason::Stopping, "the queues' memory is damaged".to_owned()),
        };
        Err(Refused { reason, error })
    }

    pub(super) fn queue_called(&self, name: &str) -> Result<QueueId, Refused> {
        if let Some((queue, _)) = self.names.iter().find(|(_, known)| *known == name) {
            return Ok(*queue);
        }
        let near = nearest(name, self.names.values().map(String::as_str));
        let hint =
            near.map_or(": `mprun status` lists them".to_owned(), |near| format!(": did you mean {near}?"));
        let error = format!("the pipeline has no queue {name}{hint}");
        Err(Refused { reason: Reason::NoSuchQueue, error })
    }
}
