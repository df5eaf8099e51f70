//! Other units that would do a service's work beside it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::output::Failure;
use crate::service::systemd::{self, Scope};
use crate::service::unit::Unit;

/// A file with queues in a broker may have several services. Two of one name would have the same folders all the same.
pub(super) fn demand_none(scope: Scope, unit: &Unit) -> Result<(), Failure> {
    demand_no_instance(scope, unit)?;
    if unit.shares_queues { Ok(()) } else { demand_no_other_name(scope, unit) }
}

/// By whatever path or link it is called.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

/// Of the template.
fn demand_no_instance(scope: Scope, unit: &Unit) -> Result<(), Failure> {
    let instances = unit.instances();
    let Some(instance) = instances.iter().find(|instance| systemd::is_used(scope, instance)) else {
        return Ok(());
    };
    Err(Failure::failed(format!(
        "{instance} is there already, of the template in the package: nothing changed; end it first \
         (`systemctl disable --now {instance}`), or keep it instead"
    )))
}

fn demand_no_other_name(scope: Scope, unit: &Unit) -> Result<(), Failure> {
    let of_system = (scope == Scope::User).then_some(Scope::System);
    for place in of_system.into_iter().chain([scope]) {
        let folder = place.folder().map_err(Failure::failed)?;
        let own = (place == scope).then(|| folder.join(Unit::file_name(&unit.name)));
        let units = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let starts_it = |path: &PathBuf| {
            let is_unit = path.extension().is_some_and(|end| end == "service") && Some(path) != own.as_ref();
            let text = if is_unit { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
            let starts = text.lines().filter_map(|line| line.strip_prefix("ExecStart=")?.split_once(" run "));
            starts
                .map(|(_, file)| PathBuf::from(file.trim_matches('"')))
                .any(|file| is_same(&file, &unit.file))
        };
        if let Some(path) = units.map(|entry| entry.path()).find(starts_it) {
            let (other, option) = (path.file_name().unwrap_or_default().display(), place.option());
            return Err(Failure::failed(format!(
                "{other} runs {} already, and two would each do all of its work: nothing changed; end that one first \
                 (`systemctl {option}disable --now {other}; rm {}`), or give this one a copy of the file",
                unit.file.display(),
                path.display(),
            )));
        }
    }
    Ok(())
}
