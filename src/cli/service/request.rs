//! The unit that a command line asks for, and what it takes to install or remove one.

use std::path::{Path, PathBuf};

use crate::cli::check::show_faults;
use crate::cli::output::{self, Failure};
use crate::config::{self, LoadOptions, Pipeline};
use crate::exit;
use crate::service::systemd::{self, Scope};
use crate::service::unit::paths::Paths;
use crate::service::unit::{Account, Unit};
use crate::stage::Registry;

/// The oldest version that mprun supports.
pub(super) const OLDEST_SYSTEMD: u32 = 252;
/// The exit code for a file whose faults were shown.
pub(super) const BAD_FILE: u8 = exit::USAGE;

/// Beside the pipeline, all that a unit depends on.
#[derive(clap::Args)]
pub(super) struct UnitArgs {
    /// The pipeline file
    pub file: PathBuf,
    /// For your own service manager (`systemctl --user`), without root
    #[arg(long)]
    pub user: bool,
    /// What the service is called: `mprun-NAME.service`; the pipeline's name, if not given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The user whose processes the stages are; if not given, one that exists only while the service runs
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    run_as: Option<String>,
    /// A file or folder that programs write to, besides those of the file itself and `$STATE_DIRECTORY`. Can be given more
    /// than once
    #[arg(long, value_name = "PATH", conflicts_with = "user")]
    writable: Vec<PathBuf>,
}

pub(super) fn scope(user: bool) -> Scope {
    if user { Scope::User } else { Scope::System }
}

/// None: the file is bad, and its faults were shown.
pub(super) fn unit(args: &UnitArgs, registry: &Registry, systemd: u32) -> Result<Option<Unit>, Failure> {
    let loaded = match config::load(&args.file, &LoadOptions::default(), registry) {
        Ok(loaded) => {
            output::say(&loaded.warnings.render(output::is_colourful()));
            loaded
        }
        Err(report) => {
            show_faults(&args.file, &report);
            return Ok(None);
        }
    };
    let (pipeline, watched) = (loaded.pipeline, loaded.watched);
    let file = absolute(&args.file)?;
    let program = std::env::current_exe().map_err(|error| Failure::io("find mprun itself", &error))?;
    let account = account(args, &pipeline)?;
    let mut paths = Paths::of(&pipeline, registry);
    paths.read.extend(watched.files); // those that the file includes, too
    if account != Account::Managers {
        warn_of_private(&paths);
    }
    let mut unit = Unit::of(&pipeline, &paths, program, file, account, systemd);
    for path in &args.writable {
        let path = absolute(path)?;
        if !unit.writable.contains(&path) {
            unit.writable.push(path);
        }
    }
    if let Some(name) = &args.name {
        unit.name.clone_from(checked(name)?);
    }
    Ok(Some(unit))
}

/// Files in a folder that the service has for itself are not those that others see.
fn warn_of_private(paths: &Paths) {
    for path in paths.hidden() {
        output::say(&format!(
            "warning: {} is in a folder for temporary files, of which the service has one of its own (PrivateTmp=): it does not \
             see what is there, and others do not see what it writes there\n",
            path.display()
        ));
    }
}

fn account(args: &UnitArgs, pipeline: &Pipeline) -> Result<Account, Failure> {
    let other = pipeline.stages.iter().find(|stage| {
        let command = stage.work.command();
        command.is_some_and(|command| command.user.is_some() || command.group.is_some())
    });
    match (&args.run_as, other) {
        (Some(user), None) => Ok(Account::Named(user.clone())),
        (Some(user), Some(_)) if user == "root" => Ok(Account::Named(user.clone())),
        (None, None) if args.user => Ok(Account::Managers),
        (None, None) => Ok(Account::Own),
        (_, Some(stage)) => Err(Failure::usage(format!(
            "the stage {} runs as a user of its own, which takes root: install it with `--run-as root`",
            stage.name
        ))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    // Links stay: a configuration manager may swap them.
    let whole = std::path::absolute(path).and_then(|whole| whole.metadata().map(|_| whole));
    whole.map_err(|error| Failure::io(&format!("find {}", path.display()), &error))
}

fn checked(name: &String) -> Result<&String, Failure> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if name.chars().all(fits) && name.len() <= 64 && !name.is_empty() && !name.starts_with(['-', '.']) {
        return Ok(name);
    }
    Err(Failure::usage(format!(
        "{name:?} is no name for a service: write letters, digits, `_`, `-` and `.`, up to 64 of them"
    )))
}

pub(super) fn text(unit: &Unit) -> Result<String, Failure> {
    unit.text().map_err(|error| Failure::usage(error.to_string()))
}

/// Its version. `instead`: what to say where systemd doesn't run.
pub(super) fn demand_systemd(instead: &str) -> Result<u32, Failure> {
    let version = systemd::version().filter(|_| systemd::is_here());
    version.ok_or_else(|| Failure::failed(format!("systemd does not run this machine: {instead}")))
}

/// Only root may change the system's units.
pub(super) fn demand_root(scope: Scope, verb: &str, what: &str) -> Result<(), Failure> {
    if scope == Scope::User || nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "only root may do that for the whole machine: `sudo mprun service {verb} {what}`, or for yourself \
         `mprun service {verb} --user {what}`"
    )))
}

/// Where the unit of this name is, or would be.
pub(super) fn place(scope: Scope, name: &str) -> Result<PathBuf, Failure> {
    let folder = scope.folder().map_err(Failure::failed)?;
    Ok(folder.join(Unit::file_name(name)))
}
