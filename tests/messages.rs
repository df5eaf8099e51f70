//! Each message that docs/troubleshooting.md explains is still in the source, or among the golden messages about a bad file.

mod support;

use std::fs;
use std::path::Path;

use support::project;

/// All texts of a folder, one line each: a string that goes on behind a backslash is one text.
fn source(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "stderr") {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.split("\\\n").enumerate();
            all.extend(lines.map(|(n, line)| if n > 0 { line.trim_start() } else { line }));
            all.push('\n');
        }
    }
}

/// The quoted messages of a heading.
fn messages(heading: &str) -> Vec<&str> {
    let marks = if heading.contains("``") { "``" } else { "`" };
    heading.split(marks).skip(1).step_by(2).collect()
}

#[test]
fn each_message_that_is_explained_is_in_the_source() {
    let page = fs::read_to_string(project().join("docs/troubleshooting.md")).unwrap();
    let mut source_text = String::new();
    ["src", "tests/config_errors"]
        .iter()
        .for_each(|folder| source(&project().join(folder), &mut source_text));
    let mut count = 0;
    for heading in page.lines().filter_map(|line| line.strip_prefix("### ")) {
        let all = messages(heading);
        assert!(!all.is_empty(), "{heading} quotes no message");
        for message in all {
            count += 1;
            let fragments: Vec<&str> =
                message.split('…').map(str::trim).filter(|part| part.len() > 2).collect();
            assert!(
                fragments.iter().map(|part| part.len()).sum::<usize>() > 7,
                "{message} is too short to be known by"
            );
            for fragment in fragments {
                assert!(source_text.contains(fragment), "`{fragment}` of `{message}` is not in the source");
            }
        }
    }
    assert!(count >= 30, "only {count} messages");
}
