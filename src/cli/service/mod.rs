//! `mprun service install|uninstall|show`: a pipeline as a service of systemd.

mod install;
mod others;
mod request;
mod uninstall;

use super::output::{self, Failure};
use crate::exit;
use crate::service::systemd;
use crate::stage::Registry;
use request::{BAD_FILE, OLDEST_SYSTEMD, UnitArgs, text, unit};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun service install /etc/mprun/shop.toml
  mprun service uninstall shop")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Write the unit of a pipeline, and have it started now and with the machine
    #[command(after_help = "\
Examples:
  mprun service install /etc/mprun/shop.toml   as root, for the machine
  mprun service install --user shop.toml       for yourself
  mprun service install shop.toml --run-as shop --writable /srv/shop")]
    Install(install::Args),
    /// Stop a pipeline's service, and remove its unit
    #[command(after_help = "\
Examples:
  mprun service uninstall shop
  mprun service uninstall --user shop   your own")]
    Uninstall(uninstall::Args),
    /// Print the unit that `install` would write
    #[command(after_help = "\
Examples:
  mprun service show shop.toml
  mprun service show shop.toml > shop.service   to install it by other means")]
    Show(UnitArgs),
}

/// Does what is asked.
pub(super) fn run(args: Args, registry: &Registry) -> Result<u8, Failure> {
    match args.verb {
        Verb::Install(args) => install::run(&args, registry),
        Verb::Uninstall(args) => uninstall::run(&args, registry),
        Verb::Show(args) => show(&args, registry),
    }
}

/// Without systemd here, the unit for any machine.
fn show(args: &UnitArgs, registry: &Registry) -> Result<u8, Failure> {
    let Some(unit) = unit(args, registry, systemd::version().unwrap_or(OLDEST_SYSTEMD))? else {
        return Ok(BAD_FILE);
    };
    output::print(&text(&unit)?)?;
    Ok(exit::DONE)
}
