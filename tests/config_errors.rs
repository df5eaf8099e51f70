//! What users read when a pipeline file is wrong. Each `config_errors/*.toml` has its message in a `.stderr` beside
//! it; `UPDATE_GOLDEN=1 cargo test --test config_errors` writes them anew, for a person to read in the diff.

use std::fs;
use std::path::{Path, PathBuf};

use mprun::Registry;
use mprun::config::{self, LoadOptions};

#[test]
fn every_message_is_as_written_down() {
    let files = files();
    assert!(files.len() >= 25, "only {} files", files.len());
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    for file in files {
        let message = message(&file);
        let golden = file.with_extension("stderr");
        if update {
            fs::write(&golden, &message).expect("write the golden file");
        } else if fs::read_to_string(&golden).unwrap_or_default() != message {
            different.push(format!("{}\n{message}", golden.display()));
        }
    }
    assert!(different.is_empty(), "these are not as written down:\n{}", different.join("\n"));
}

#[test]
fn every_message_tells_line_and_column() {
    for file in files() {
        let message = message(&file);
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        // These have nothing to point at.
        if !["empty", "blank"].contains(&name) {
            assert!(message.contains("--> ") && message.contains('^'), "{message}");
        }
        assert!(!message.contains('\u{1b}'), "escape characters in {name}");
    }
}

fn files() -> Vec<PathBuf> {
    let folder = fs::read_dir("tests/config_errors").expect("the folder of golden files");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

fn message(file: &Path) -> String {
    let report =
        config::load(file, &options(file), &Registry::builtin()).expect_err("the file should be bad");
    assert!(!report.is_empty());
    report.render(false)
}

/// Lines `#! set: …` and `#! stages: …` stand for the command line.
fn options(file: &Path) -> LoadOptions {
    let text = String::from_utf8_lossy(&fs::read(file).expect("read the file")).into_owned();
    let all = |key: &str| {
        let prefix = format!("#! {key}: ");
        text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect::<Vec<_>>()
    };
    let stages = all("stages").first().map(|names| names.split(',').map(str::to_owned).collect());
    LoadOptions { sets: all("set"), stages, ..LoadOptions::default() }
}
