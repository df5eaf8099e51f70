//! A supervisord's file, and those that it includes.

mod ini;
mod program;
mod values;
mod words;

use std::path::{Path, PathBuf};

use super::draft::{Draft, Section};
use super::give_up::WITHIN;
use super::input::{origin, read};
use crate::cli::output::Failure;
use crate::cli::toml_text::{literal, table, text};
use ini::Block;
use values::{Names, pairs};

/// Processes of one program that may become stages of their own.
const MAX_APART: u64 = 64;

/// Sections about how it is controlled.
const OF_CONTROL: [&str; 5] =
    ["unix_http_server", "inet_http_server", "supervisorctl", "rpcinterface", "ctlplugin"];

pub(super) fn import(file: &str, path: &Path) -> Result<Draft, Failure> {
    let here = folder(path);
    let mut draft = Draft::default();
    draft.note(origin(path));
    let mut blocks = parse(file, path)?;
    for included in included(&blocks, &here, &mut draft) {
        draft.note(format!("From {}.", included.display()));
        let mut more = parse(&read(&included)?, &included)?;
        let its_folder = folder(&included);
        if its_folder != here {
            more.iter_mut().for_each(|block| block.expand_here(&its_folder.to_string_lossy()));
        }
        ini::merge(&mut blocks, more);
    }
    draft.defaults.note("A program that gives up leaves the others alone.");
    draft.defaults.set("on_give_up", text("continue"), "");
    draft.defaults.note(
        "A run of `startsecs` (1 if not set) is a good one: what was before it counts for `give_up` no more. The pause before a \
         restart begins with a second, as supervisord's does: a database that a program waits for has time to come up.",
    );
    draft.defaults.set("backoff", table([("initial", text("1s")), ("reset_after", text("1s"))]), "");
    draft.defaults.note(
        "One more than `startretries` (10 here if not set) in a row, whatever the pauses between, and it gives up.",
    );
    draft.defaults.set("give_up", table([("within", text(WITHIN))]), "");
    for block in &blocks {
        match block.kind.as_str() {
            "program" | "fcgi-program" | "eventlistener" => {}
            "supervisord" => whole(block, &here, &mut draft),
            "group" => group(block, &mut draft),
            "include" => {}
            kind => {
                let why = match OF_CONTROL.contains(&kind) {
                    true => "mprun has a control socket of its own",
                    false => "supervisord has no such section, and takes no notice of it",
                };
                draft.note(format!("not carried over: [{}] ({why})", title(block)));
            }
        }
    }
    with_variables(&mut blocks);
    let is_program =
        |block: &&Block| ["program", "fcgi-program", "eventlistener"].contains(&block.kind.as_str());
    let mut programs: Vec<&Block> = blocks.iter().filter(is_program).collect();
    programs.sort_by_key(|block| {
        block.get("priority").and_then(|number| number.trim().parse::<i64>().ok()).unwrap_or(999)
    });
    for block in programs {
        let group = group_of(&block.name, &blocks).unwrap_or(&block.name);
        let processes = block.get("numprocs").map_or(1, |number| number.trim().parse().unwrap_or(u64::MAX));
        let first = first_number(block);
        let names = Names { here: &here, program: &block.name, group, processes, numprocs: processes, first };
        match names.first > 0 && (2..=MAX_APART).contains(&processes) && is_numbered(block) {
            true => one_by_one(block, &names, &mut draft),
            false => draft.add(&block.name, stage(block, &names)),
        }
    }
    Ok(draft)
}

/// What `environment` says is a variable for the other settings: that of `[supervisord]` for all programs.
fn with_variables(blocks: &mut [Block]) {
    let said =
        |block: &Block| block.get("environment").and_then(|value| pairs(value).ok()).unwrap_or_default();
    let of_all: Vec<_> = blocks.iter().filter(|block| block.kind == "supervisord").flat_map(said).collect();
    for block in blocks.iter_mut().filter(|block| block.kind != "supervisord") {
        block.expand_variables(|key| key == "environment", &of_all);
        let known = [of_all.clone(), said(block)].concat();
        block.expand_variables(|key| key != "environment", &known);
    }
}

fn first_number(block: &Block) -> u64 {
    block.get("numprocs_start").and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Whether what it runs, or where, has the number of the process in it; its name alone says nothing to us.
fn is_numbered(block: &Block) -> bool {
    let is_used = |(key, value): &(String, String)| key != "process_name" && value.contains("%(process_num)");
    block.keys.iter().any(is_used)
}

/// Workers are counted from 0, so each of the processes is a stage that has its number.
fn one_by_one(block: &Block, names: &Names<'_>, draft: &mut Draft) {
    let mut settings = block.clone();
    settings.keys.retain(|(key, _)| key != "numprocs");
    for first in names.first..names.first + names.processes {
        let names = Names { processes: 1, first, ..*names };
        draft.add(&format!("{}_{first}", block.name), stage(&settings, &names));
    }
}

fn stage(block: &Block, names: &Names<'_>) -> Section {
    let off = match block.kind.as_str() {
        "eventlistener" => "It listens to events of its supervisor, of which mprun has none.",
        "fcgi-program" => "Its supervisor opened the socket for it, which mprun does not.",
        _ => return program::stage(block, names),
    };
    let mut settings = block.clone();
    settings.keys.retain(|(key, _)| key != "autostart"); // it is off
    let mut stage = program::stage(&settings, names);
    stage.note(off);
    if !stage.has("enabled") {
        stage.set("enabled", "false", "");
    }
    stage
}

fn title(block: &Block) -> String {
    if block.name.is_empty() { block.kind.clone() } else { format!("{}:{}", block.kind, block.name) }
}

fn parse(file: &str, path: &Path) -> Result<Vec<Block>, Failure> {
    ini::parse(file).map_err(|(line, why)| Failure::usage(format!("{}:{line}: {why}", path.display())))
}

fn folder(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The files that are there now, in the order of their patterns.
fn included(blocks: &[Block], here: &Path, draft: &mut Draft) -> Vec<PathBuf> {
    let files = blocks.iter().find(|block| block.kind == "include").and_then(|block| block.get("files"));
    let mut found = Vec::new();
    for pattern in files.unwrap_or_default().split_whitespace() {
        let pattern = pattern.replace("%(here)s", &here.to_string_lossy());
        match glob::glob(&here.join(&pattern).to_string_lossy()) {
            Ok(paths) => {
                let before = found.len();
                found.extend(paths.flatten());
                if found.len() == before {
                    draft.note(format!(
                        "not carried over: files={pattern} (there is no such file on this machine)"
                    ));
                }
            }
            Err(error) => draft.note(format!("not carried over: files={pattern} ({error})")),
        }
    }
    found
}

/// What holds for all programs.
fn whole(block: &Block, here: &Path, draft: &mut Draft) {
    let names =
        Names { here, program: "supervisord", group: "supervisord", processes: 1, numprocs: 1, first: 0 };
    for (key, value) in &block.keys {
        let from = format!("{key}={value}");
        match key.as_str() {
            "umask" => draft.defaults.set("umask", text(&literal(value)), &from),
            "environment" => program::environment(&names, value, &mut draft.defaults),
            "directory" => match names.path(value) {
                Ok(folder) => draft.defaults.set("cwd", text(&folder), &from),
                Err(why) => draft.defaults.leave_out(&from, &why),
            },
            "user" if value != "root" => {
                draft
                    .defaults
                    .leave_out(&from, "run mprun as this user, or `mprun service install --run-as`");
            }
            _ => {}
        }
    }
}

fn group(block: &Block, draft: &mut Draft) {
    let programs = block.get("programs").unwrap_or_default();
    draft.note(format!(
        "not carried over: [group:{}] (its programs are stages on their own: {programs})",
        block.name
    ));
}

fn group_of<'a>(program: &str, blocks: &'a [Block]) -> Option<&'a str> {
    let holds = |block: &&Block| {
        let programs = block.get("programs").unwrap_or_default();
        block.kind == "group" && programs.split(',').any(|name| name.trim() == program)
    };
    blocks.iter().find(holds).map(|block| block.name.as_str())
}
