//! A compose file: its services as programs of this machine.

mod dotenv;
mod extends;
mod health;
mod service;
mod variables;
mod words;
mod yaml;

use std::ffi::OsStr;
use std::path::Path;

use super::draft::Draft;
use super::give_up::NEVER;
use super::input::origin;
use crate::cli::output::Failure;
use crate::cli::toml_text::{table, text};
use dotenv::Dotenv;
pub(super) use dotenv::may_be_written;
use service::Services;
use yaml::Value;

pub(super) fn import(file: &str, path: &Path) -> Result<Draft, Failure> {
    let whole = yaml::parse(file).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    let (mut dotenv, fault) = match Dotenv::beside(path) {
        Ok(dotenv) => (dotenv, None),
        Err(why) => (Dotenv::default(), Some(why)),
    };
    let whole = dotenv.fill(&whole);
    let is_old =
        whole.get("services").is_none() && whole.entries().iter().any(|(_, value)| is_service(value));
    let services: Vec<(String, Value)> = match is_old {
        true => whole.entries().iter().filter(|(_, value)| is_service(value)).cloned().collect(),
        false => whole.get("services").map_or(&[][..], Value::entries).to_vec(),
    };
    let mut draft = Draft::default();
    draft.note(origin(path));
    draft.note("Services ran inside of images there. Here they are programs of this machine, which must be installed.");
    override_beside(path).into_iter().for_each(|name| {
        draft.note(format!(
            "not carried over: {name}, which `docker compose` reads with this file. `docker compose config` writes both as one: import that."
        ));
    });
    dotenv.notes().into_iter().for_each(|note| draft.note(note));
    fault.into_iter().for_each(|why| draft.note(format!("not carried over: {why}")));
    for (key, value) in whole.entries() {
        let is_ours = ["services", "version", "name"].contains(&key.as_str()) || key.starts_with("x-");
        let is_service = is_old && is_service(value);
        if !is_ours && !is_service {
            draft.note(format!("not carried over: {key}: {}", left_out(value)));
        }
    }
    draft.defaults.note("A program that gives up leaves the others alone.");
    draft.defaults.set("on_give_up", text("continue"), "");
    draft.defaults.note("As Docker: without a number in `restart` no program gives up, and a run of 10 seconds is a good one.");
    draft.defaults.set("give_up", table([("restarts", NEVER.to_owned())]), "");
    draft.defaults.set("backoff", table([("max", text("1m")), ("reset_after", text("10s"))]), "");
    let folder = (path != Path::new("-")).then(|| path.parent().unwrap_or(Path::new("")));
    let services = Services::of(&services, folder);
    for (name, service) in services.all() {
        draft.add(name, services.stage(name, service));
    }
    Ok(draft)
}

/// The file that Compose merges into one of the usual name, if it is there.
fn override_beside(path: &Path) -> Option<String> {
    let stem =
        ["compose", "docker-compose"].into_iter().find(|stem| path.file_stem() == Some(OsStr::new(stem)))?;
    let names = ["yaml", "yml"].map(|kind| format!("{stem}.override.{kind}"));
    names.into_iter().find(|name| path.with_file_name(name).is_file())
}

/// In files of the first version they stand at the top.
fn is_service(value: &Value) -> bool {
    ["image", "build", "command"].iter().any(|key| value.get(key).is_some())
}

/// A table's names are enough.
fn left_out(value: &Value) -> String {
    match value.entries() {
        [] => value.shown(),
        entries => entries.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
    }
}
