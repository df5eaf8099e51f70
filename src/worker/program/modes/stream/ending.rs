//! The last time with a program.

use super::StreamLoop;
use super::give;
use crate::framing::BadFrame;
use crate::queue::Ending;
use crate::stage::Outlet;
use crate::sys::wait::Exit;
use crate::worker::outlet::ToQueues;
use crate::worker::program::error::{FailedAttempt, ProgramError, ended};
use crate::worker::program::io::session::{Out, Session, Wish};
use crate::worker::stop::Stop;
use crate::worker::too_long::ToConsole;

impl StreamLoop<'_> {
    /// Nobody wants what it would still do.
    pub(crate) fn dismiss(&mut self, session: &mut Session) {
        session.close_input();
        session.close_output();
        session.terminate(self.worker.spec.stop_timeout);
        while !session.is_over() {
            let wish = Wish { out: Out::default(), into: None, until: None, bell: None };
            if session.turn(wish, &mut self.stderr, self.worker.queues.program()).is_err() {
                return;
            }
        }
    }

    /// The program is over, and all that it wrote is read.
    pub(crate) fn conclude(&mut self, exit: Option<Exit>) -> Result<Stop, Stop> {
        self.emit(usize::MAX)?;
        let last = self.last(exit)?;
        self.publish(0)?;
        if let Some(ending) = self.stopping.take() {
            return Ok(Stop(ending));
        }
        match (last, exit) {
            (Err(bad), _) => Ok(self.failed(ProgramError::BadFrame(bad))),
            (Ok(_), Some(Exit::Code(code))) if self.spec.is_success(code) => {
                log::debug!("the program ended with exit code {code}");
                Ok(Stop(if self.input_ended { Ending::InputEnded } else { Ending::Finished }))
            }
            (Ok(_), Some(exit)) => Ok(self.failed(ProgramError::Ended(exit))),
            // A session is over only with an exit.
            (Ok(_), None) => Ok(Stop(Ending::Failed(ended(Exit::Code(0))))),
        }
    }

    /// Stages an item that has no end, if it is whole: who was killed may have been in the middle of it.
    fn last(&mut self, exit: Option<Exit>) -> Result<Result<(), BadFrame>, Stop> {
        if let Some(skip) = self.decoder.skipping() {
            if let Some(Exit::Signal(signal)) = exit {
                let bytes = skip.item.length;
                log::warn!("{signal} ended its program in the middle of an item: {bytes} bytes are left out");
                return Ok(Ok(()));
            }
            let StreamLoop { worker, decoder, output, .. } = self;
            match worker.outputs.is_empty() {
                true => give::skip(decoder, &mut ToConsole(worker), output, true)?,
                false => give::skip(decoder, &mut ToQueues::new(worker, None), output, true)?,
            };
            return Ok(Ok(()));
        }
        let item = match self.decoder.last() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(item)) => item,
            Err(bad) => return Ok(Err(bad)),
        };
        if let Some(Exit::Signal(signal)) = exit {
            let bytes = item.len();
            log::warn!("{signal} ended its program in the middle of an item: {bytes} bytes are left out");
            return Ok(Ok(()));
        }
        match self.worker.outputs.is_empty() {
            true => self.worker.console.put(item)?,
            false => ToQueues::new(self.worker, None).put(item)?,
        }
        Ok(Ok(()))
    }

    /// It is not the program that failed. What it had written is gone with what it had read, and no other try brings it
    /// back.
    pub(crate) fn fail(&self, stop: Stop) -> Stop {
        match stop.0 {
            Ending::Failed(why) if self.worker.console.has_failed() => {
                self.warn();
                Stop(Ending::Lost(why))
            }
            other => Stop(other),
        }
    }

    fn warn(&self) {
        if self.inside > 0 {
            log::warn!("up to {} items that its program had taken are unaccounted for", self.inside);
        }
    }

    fn failed(&mut self, error: ProgramError) -> Stop {
        let failed = FailedAttempt { error, stderr: self.stderr.take_kept() };
        self.warn();
        Stop(Ending::Failed(format!("the program failed: {failed}")))
    }
}
