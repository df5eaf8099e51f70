//! The layers of the crate, held against its own source: each module uses only what stands below it.

#[path = "architecture/fields.rs"]
mod fields;
#[path = "architecture/imports.rs"]
mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up; modules on one line know nothing of each other, or belong together.
const LAYERS: [&[&str]; 13] = [
    &["model"],
    &[
        "condition",
        "item",
        "exit",
        "framing",
        "hash",
        "layout",
        "numbers",
        "secret",
        "status",
        "terminal",
        "text",
    ],
    &["file_watch", "sys"],
    &["dead_letter", "logs"],
    &["append", "broker"],
    &["queue"],
    &["stage"],
    &["config"],
    &["machines", "metrics"],
    &["control"],
    &["worker", "service", "progress", "link"],
    &["supervisor"],
    &["cli", "app", "lib", "main"],
];

/// The same for the folders inside of a module.
const FOLDERS: [(&str, &[&[&str]]); 1] =
    [("queue", &[&["arena"], &["transaction"], &["worker", "admin"], &["recovery"]])];

/// Two files that are one thing, and why.
const ONE_THING: [(&str, &str, &str); 0] = [];

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("module {module} has no layer: add it to LAYERS"))
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, all),
            false if path.extension().is_some_and(|end| end == "rs") => all.push(path),
            false => {}
        }
    }
}

/// Each source file with the top module it belongs to and its text.
fn files() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let module = |path: &PathBuf| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    all.into_iter().map(|path| (path.clone(), module(&path), fs::read_to_string(&path).unwrap())).collect()
}

/// The modules that `crate::…` paths of a text name.
fn used(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let after = code.split("crate::").skip(1).filter(|rest| !rest.starts_with('{'));
    let grouped = code.split("crate::{").skip(1).flat_map(|rest| {
        let inside = rest.split(';').next().unwrap_or("");
        inside.split([',', '{']).map(str::trim).map(str::to_owned).collect::<Vec<_>>()
    });
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let names = after.map(name).chain(grouped.map(|rest| name(&rest)));
    names.filter(|name| LAYERS.iter().any(|layer| layer.contains(&name.as_str()))).collect()
}

#[test]
fn no_module_uses_one_that_stands_above_it() {
    let mut upward = Vec::new();
    for (path, module, text) in files() {
        let own = layer(&module);
        for name in used(&text) {
            if layer(&name) > own {
                upward.push(format!("{}: {module} uses {name}", path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

fn is_in(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[test]
fn no_folder_inside_of_a_module_uses_one_that_stands_above_or_beside_it() {
    let (uses, mut wrong) = (imports::Crate::read().uses(), Vec::new());
    for (module, layers) in FOLDERS {
        let place = |file: &str| {
            let folders =
                layers.iter().enumerate().flat_map(|(n, layer)| layer.iter().map(move |name| (n, name)));
            folders.into_iter().find(|(_, name)| is_in(file, &format!("{module}/{name}")))
        };
        for (from, to) in uses.iter().filter(|(from, to)| is_in(from, module) && is_in(to, module)) {
            let allowed = match (place(from), place(to)) {
                (Some((own, folder)), Some((other, used))) => other < own || folder == used,
                (_, None) => false, // what the folders share belongs into the lowest of them
                (None, Some(_)) => true,
            };
            if !allowed {
                wrong.push(format!("{from} uses {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_files_of_one_module_use_each_other_in_a_circle() {
    let is_one_thing =
        |a: &str, b: &str| ONE_THING.iter().any(|&(x, y, _)| (x, y) == (a, b) || (y, x) == (a, b));
    let uses = imports::Crate::read().uses();
    let own: BTreeSet<_> = uses.into_iter().filter(|(from, to)| !is_one_thing(from, to)).collect();
    assert!(own.len() > 500, "only {} uses were found", own.len());
    let circles = imports::circles(&own);
    let line = |circle: &Vec<(String, String)>| {
        circle.iter().map(|(from, to)| format!("{from} uses {to}\n")).collect::<String>()
    };
    let reported: Vec<String> = circles.iter().map(line).collect();
    assert!(reported.is_empty(), "circles:\n{}", reported.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let uses = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")];
    let uses = uses.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
    let circles = imports::circles(&uses);
    assert_eq!(circles.len(), 1);
    assert_eq!(circles[0].len(), 3, "{circles:?}");
}

/// Where no struct has more than ten flags, counters and times.
const FEW_FIELDS: [&str; 2] = ["worker/program", "supervisor/machine"];

/// Structs that are not looked into, all of a file or one, and why.
const MANY_FIELDS: [(&str, &str); 7] = [
    ("config/pipeline.rs", "settings, as the file says them"),
    ("model/tuning.rs", "settings, as the file says them"),
    ("sys/process/spec.rs", "settings of a start, which nothing changes"),
    ("supervisor/machine/totals.rs", "statistics, exported as they are"),
    ("supervisor/machine/state.rs Counters", "statistics, exported as they are"),
    ("framing/decode.rs", "a state machine of its own on a lower floor, tested without its owners"),
    ("supervisor/machine/ids.rs RequestId", "an identity: neither flag, counter nor time"),
];

#[test]
fn no_struct_of_a_state_machine_has_many_flags_counters_and_times() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let all: Vec<_> = files()
        .into_iter()
        .filter(|(path, _, _)| !path.iter().any(|part| part == "tests"))
        .flat_map(|(path, _, text)| fields::structs(path.strip_prefix(&root).unwrap(), &text))
        .collect();
    let exempt = MANY_FIELDS.map(|(file, _)| file);
    let looked_at = all
        .iter()
        .filter(|one| {
            FEW_FIELDS
                .iter()
                .any(|place| one.file.starts_with(place) || one.file.with_extension("") == Path::new(place))
        })
        .filter(|one| !fields::is_exempt(one, &exempt))
        .map(|one| (fields::count(one, &all, &exempt), one));
    let (many, few): (Vec<_>, Vec<_>) = looked_at.partition(|(count, _)| *count > 10);
    assert!(few.len() > 40, "only {} structs were found", few.len());
    let reported =
        many.iter().map(|(count, one)| format!("{}: {} has {count}\n", one.file.display(), one.name));
    assert!(many.is_empty(), "{}", reported.collect::<String>());
}

#[test]
fn unsafe_code_lives_in_queue_and_sys_only() {
    let mut outside = Vec::new();
    for (path, module, text) in files() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let has = code.into_iter().any(|line| line.contains("unsafe ") || line.contains("unsafe{"));
        if has && !["queue", "sys"].contains(&module.as_str()) {
            outside.push(path.display().to_string());
        }
    }
    assert!(outside.is_empty(), "unsafe code in {outside:?}");
}

#[test]
fn every_unsafe_block_says_why_it_is_right() {
    let mut silent = Vec::new();
    for (path, _, text) in files() {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let block = line.contains("unsafe {") || line.trim_start().starts_with("unsafe impl");
            let above = lines[n.saturating_sub(6)..=n].iter().any(|line| line.contains("SAFETY:"));
            if block && !above {
                silent.push(format!("{}:{}", path.display(), n + 1));
            }
        }
    }
    assert!(silent.is_empty(), "no SAFETY comment at {silent:?}");
}

#[test]
fn nothing_is_printed_by_a_macro_that_panics_where_nobody_can_be_told() {
    let mut printing = Vec::new();
    for (path, _, text) in files() {
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        for (n, line) in text.lines().enumerate().filter(|_| !is_test) {
            let code = line.split("//").next().unwrap_or_default();
            if ["print!(", "println!("].iter().any(|name| code.contains(name)) {
                printing.push(format!("{}:{}", path.display(), n + 1));
            }
        }
    }
    assert!(printing.is_empty(), "a closed stream makes these panic: {printing:?}");
}

/// The floors of the supervisor, from the bottom up. The pure machine knows nothing of the others.
const SUPERVISOR_FLOORS: [&[&str]; 8] = [
    &["machine", "error"],
    &["closing"],
    &["options"],
    &["recovery", "notify"],
    &["runtime"],
    &["effects"],
    &["run"],
    &["mod", "fixture"],
];

#[test]
fn no_floor_of_the_supervisor_uses_one_that_stands_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/supervisor");
    let floor = |name: &str| {
        let found = SUPERVISOR_FLOORS.iter().position(|floor| floor.contains(&name));
        found.unwrap_or_else(|| panic!("{name} has no floor: add it to SUPERVISOR_FLOORS"))
    };
    let (mut all, mut upward) = (Vec::new(), Vec::new());
    sources(&root, &mut all);
    for path in all {
        let inside = path.strip_prefix(&root).unwrap();
        let own = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let text = fs::read_to_string(&path).unwrap();
        let code =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let absolute = code.split("crate::supervisor::").skip(1);
        // Only of a file of the lowest depth is `super` the supervisor itself.
        let depth = inside.components().count();
        let relative = code.split("use super::").skip(1).filter(|_| depth == 1);
        for rest in absolute.chain(relative) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // The tests of a file may use the fixture, and name all of their own file.
            if !["", "fixture"].contains(&name.as_str()) && floor(&name) > floor(own) {
                upward.push(format!("{}: {own} uses {name}", inside.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}
