//! `mprun service show FILE`.

use super::{BAD_FILE, Failure, Wishes, output, text, unit};
use crate::exit;
use crate::service::systemd;
use crate::stage::Registry;

/// What every systemd that mprun knows understands.
const OLDEST: u32 = 252;

/// What `show` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    wishes: Wishes,
}

/// Prints the unit; without systemd here, one for any machine.
pub fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let Some(unit) = unit(&args.wishes, registry, systemd::version().unwrap_or(OLDEST))? else {
        return Ok(BAD_FILE);
    };
    output::print(&text(&unit)?)?;
    Ok(exit::DONE)
}
