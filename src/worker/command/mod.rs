//! Command stages: the worker is the shepherd of a program.

mod framing;

use super::desk::Desk;
use super::stop::Stop;
use crate::config::pipeline::Command;
use crate::queue::Ending;
use crate::stage::Context;

pub(super) fn run(_desk: &mut Desk, _command: Command, _context: &Context) -> Stop {
    Stop(Ending::Failed("not yet".into()))
}
