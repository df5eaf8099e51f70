//! `mprun service uninstall FILE|NAME`.

use std::fs;
use std::path::Path;

use super::request::{demand_root, demand_systemd, place, scope};
use crate::cli::output::{self, Failure};
use crate::config::elements::PipelineName;
use crate::config::{self, LoadOptions};
use crate::exit;
use crate::service::systemd::{self, Scope};
use crate::service::unit::{MARK, Unit};
use crate::stage::Registry;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The service's name, or the pipeline file
    #[arg(value_name = "NAME|FILE")]
    what: String,
    /// A service of your own service manager (`systemctl --user`)
    #[arg(long)]
    user: bool,
    /// The name it was installed by, if that is not the pipeline's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Stops and removes it. What it has kept stays.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let scope = scope(args.user);
    demand_systemd("there is no service to remove; `mprun ps` lists the pipelines that run")?;
    let name = args.name.clone().unwrap_or_else(|| name_of(&args.what, registry));
    let path = place(scope, &name)?;
    demand_ours(&path, &name, scope)?;
    demand_root(scope, "uninstall", &args.what)?;
    let service = Unit::file_name(&name);
    let manage = |arguments: &[&str]| systemd::systemctl(scope, arguments).map_err(Failure::failed);
    manage(&["disable", "--quiet", "--now", &service])?;
    fs::remove_file(&path).map_err(|error| Failure::io(&format!("remove {}", path.display()), &error))?;
    manage(&["daemon-reload"])?;
    let kept = match scope {
        Scope::System => format!("/var/lib/mprun/{name}"),
        Scope::User => format!("mprun/{name} in your state folder"),
    };
    output::print(&format!("removed {}; dead letters and other state stay in {kept}\n", path.display()))?;
    Ok(exit::DONE)
}

/// A file's pipeline; a file that can't be read any more, and a name, is a name.
fn name_of(what: &str, registry: &Registry) -> String {
    let path = Path::new(what);
    if !path.is_file() {
        let name = what.strip_suffix(".service").unwrap_or(what);
        return name.strip_prefix("mprun-").filter(|_| name != what).unwrap_or(name).to_owned();
    }
    let loaded = config::load(path, &LoadOptions::default(), registry);
    loaded.map_or_else(|_| PipelineName::of_file(path), |loaded| loaded.pipeline.name)
}

fn demand_ours(path: &Path, name: &str, scope: Scope) -> Result<(), Failure> {
    let option = scope.option();
    let place = path.display();
    match fs::read_to_string(path) {
        Ok(text) if text.starts_with(MARK) => Ok(()),
        Ok(_) => Err(Failure::failed(format!("{place} was not written by mprun: nothing changed"))),
        Err(_) => Err(Failure::failed(format!(
            "there is no service {name:?} of mprun ({place}); `systemctl {option}list-units 'mprun*'` shows those that run"
        ))),
    }
}
