//! `mprun service install FILE`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::others;
use super::request::{BAD_FILE, UnitArgs, demand_root, demand_systemd, place, scope, text, unit};
use crate::cli::output::{self, Failure};
use crate::exit;
use crate::service::systemd;
use crate::service::unit::paths::is_private;
use crate::service::unit::{Account, MARK, Unit};
use crate::stage::Registry;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    unit: UnitArgs,
    /// Write the unit, but do not start it
    #[arg(long)]
    no_start: bool,
}

/// Checks the file, writes the unit, starts it.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let unit_args = &args.unit;
    let scope = scope(unit_args.user);
    let file = unit_args.file.display();
    let version = demand_systemd(&format!(
        "run the pipeline yourself with `mprun run {file}`, or print its unit for another machine with \
         `mprun service show {file}`"
    ))?;
    let Some(unit) = unit(unit_args, registry, version)? else { return Ok(BAD_FILE) };
    demand_root(scope, "install", &unit_args.file.display().to_string())?;
    demand_access(&unit)?;
    demand_sight(&unit)?;
    demand_folders(&unit)?;
    others::demand_none(scope, &unit)?;
    let (path, text) = (place(scope, &unit.name)?, text(&unit)?);
    write(&path, &text)?;
    output::print(&format!("wrote {}\n", path.display()))?;
    let service = Unit::file_name(&unit.name);
    let manage = |arguments: &[&str]| systemd::systemctl(scope, arguments).map_err(Failure::failed);
    manage(&["daemon-reload"])?;
    manage(&["enable", "--quiet", &service])?;
    let option = scope.option();
    if args.no_start {
        output::print(&format!("start it: systemctl {option}start {service}\n"))?;
        return Ok(exit::DONE);
    }
    // Also when it runs already: with an older unit.
    manage(&["restart", &service]).map_err(|failure| {
        Failure::failed(format!("{failure}; it says why: journalctl {option}-u {service} -n 20"))
    })?;
    output::print(&format!("{service} runs; its log: journalctl {option}-u {service} -f\n"))?;
    Ok(exit::DONE)
}

/// Whole or not at all; never over a file that mprun has not written.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |action: &str| {
        let action = format!("{action} {}", path.display());
        move |error| Failure::io(&action, &error)
    };
    match fs::read_to_string(path) {
        Ok(old) if !old.starts_with(MARK) => {
            return Err(Failure::failed(format!(
                "{} was not written by mprun: nothing changed; move it away, or choose another `--name`",
                path.display()
            )));
        }
        _ => {}
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    }
    let new = path.with_extension("service.new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(failed("write"))
}

/// The service has a `/tmp` of its own.
fn demand_sight(unit: &Unit) -> Result<(), Failure> {
    let paths = [&unit.program, &unit.file].into_iter().chain(&unit.writable);
    let mut hidden = paths.filter(|path| is_private(path));
    match hidden.next() {
        Some(path) if unit.account != Account::Managers => Err(Failure::failed(format!(
            "{} is not there for a service, which has a /tmp of its own: move it to a place that stays, such as \
             /etc/mprun for files or /usr/local/bin for programs",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// systemd starts nothing where one is missing; and a user of the service's own can write only what all may write.
fn demand_folders(unit: &Unit) -> Result<(), Failure> {
    if unit.account == Account::Managers {
        return Ok(());
    }
    for path in &unit.writable {
        let about = path.metadata().map_err(|_| {
            Failure::failed(format!(
                "the pipeline writes into {}, which is not there: make it first",
                path.display()
            ))
        })?;
        if unit.account == Account::Own && about.mode() & 0o002 == 0 {
            output::say(&format!(
                "warning: the service's own user may not write into {} (mode {:o}): name a user who may, `--run-as USER`\n",
                path.display(),
                about.mode() & 0o7777
            ));
        }
    }
    Ok(())
}

/// A user who exists only while the service runs has only the rights of all users.
fn demand_access(unit: &Unit) -> Result<(), Failure> {
    if unit.account != Account::Own {
        return Ok(());
    }
    for path in [&unit.program, &unit.file] {
        let closed = path.ancestors().find(|part| {
            let needed = if *part == path { 0o004 } else { 0o001 };
            part.metadata().is_ok_and(|about| about.mode() & needed == 0)
        });
        if let Some(closed) = closed {
            return Err(Failure::failed(format!(
                "the service's own user can't read {}: {} is closed to others (mode {:o}). Move the file to a place \
                 such as /etc/mprun, or name a user who may read it: `--run-as USER`",
                path.display(),
                closed.display(),
                closed.metadata().map_or(0, |about| about.mode() & 0o7777)
            )));
        }
    }
    Ok(())
}
