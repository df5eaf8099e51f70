//! Lines for standard output are out before the leases end that they were made of. Into a file they go in a turn.
//!
//! | while a turn can't be written (a full disk) | what becomes of its lines |
//! |---|---|
//! | there is room again | all of the turn is in the file, and counts |
//! | an order to finish | what is out of it is taken back, and its items go back; a program's outputs, which can't be made again, are lost, which is said |
//! | the worker is killed | the next holder of the token cuts off what is out; the items come again |

use super::console::Console;
use super::context::WorkerContext;
use super::retry::Retry;
use super::stop::{Stop, failure_of};
use crate::queue::{Ending, QueueId, Taken, Wait};
use crate::stage::{Failure, Reach};

impl WorkerContext {
    /// Before the first line is printed by turns the token names the file, for what is saved of the queues. No lease may be
    /// held.
    pub(super) fn begin_printing(&mut self) -> Result<(), Stop> {
        let Some(token) = self.console.takes_turns().filter(|_| self.queues.is_saved()) else {
            return Ok(());
        };
        self.take_turn(0, token)?;
        let state = self.queues.item(0)?.bytes.to_vec();
        match self.insist(&state, Console::begin_file)? {
            None => Ok(self.queues.give_back_all()?),
            Some(next) => {
                let put = self.queues.put(&[token], &next, Some(0));
                put.map_err(|error| failure_of(&error, "the memory of standard output"))?;
                self.queues.commit(1, Wait::Forever)?;
                self.queues.save_first();
                Ok(())
            }
        }
    }

    /// Lines for standard output are out before the leases `0 .. upto` end. Into a file they go in a turn, which ends with
    /// these: then its token is one more.
    pub(super) fn print(&mut self, upto: usize) -> Result<usize, Stop> {
        let Some(token) = self.console.needs_turn() else {
            self.console.flush()?;
            self.queues.count_emitted(self.console.take_written());
            return Ok(upto);
        };
        let upto = upto.min(self.queues.len());
        self.take_turn(upto, token)?;
        let state = self.queues.item(upto)?.bytes.to_vec();
        let state = self.insist(&state, Console::flush_in_turn)?;
        let put = self.queues.put(&[token], &state, Some(upto));
        put.map_err(|error| failure_of(&error, "the memory of standard output"))?;
        self.queues.count_emitted(self.console.take_written());
        Ok(upto + 1)
    }

    /// Does it again and again, as long as the file has no room. `state`: what the token says.
    fn insist<T>(
        &mut self,
        state: &[u8],
        write: impl Fn(&mut Console, &[u8]) -> Result<T, Failure>,
    ) -> Result<T, Stop> {
        let mut retry = Retry::default();
        loop {
            match write(&mut self.console, state) {
                Err(failure) if failure.reach() == Reach::NotYet => {
                    self.queues.rest(); // a worker that dies in the wait has not died of an item
                    if let Err(stop) = self.wait_outside(retry.again(&failure, &self.queues)) {
                        self.console.give_up_turn(state);
                        return Err(stop);
                    }
                }
                result => {
                    retry.end(result.is_ok(), &self.queues);
                    return Ok(result?);
                }
            }
        }
    }

    /// Waits for the token, as long as another worker prints: also when told to finish, for the work is done.
    fn take_turn(&mut self, at: usize, token: QueueId) -> Result<(), Stop> {
        loop {
            match self.queues.take_before(at, token, Wait::Forever)? {
                Taken::Items { .. } => return Ok(()),
                // Only a supervisor that wants nothing more of this run ends it.
                Taken::Ended => return Err(Stop(Ending::Ordered)),
                Taken::Ordered | Taken::Empty if self.read_orders().must_pause() => self.report_at_rest(),
                Taken::Ordered | Taken::Empty => {}
            }
        }
    }
}
