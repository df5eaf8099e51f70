//! Every link of the docs leads somewhere: to a file that is there, and to a heading of it. The site (`book.toml`) has every
//! page of docs/, and no page of it links to what the site does not have.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use support::project;

static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(([^)\s]+)\)").unwrap());

fn pages(folder: &Path, all: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, all);
        } else if path.extension().is_some_and(|end| end == "md") {
            all.insert(path);
        }
    }
}

/// The text without its blocks and pieces of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        !is_code && !fence
    });
    let code = Regex::new("`[^`]*`").unwrap();
    lines.map(|line| code.replace_all(line, "") + "\n").collect()
}

/// The links of a page: to a file, to a heading.
fn links(text: &str) -> Vec<(String, Option<String>)> {
    let prose = prose(text);
    let targets = LINK.captures_iter(&prose).map(|found| found[1].to_owned());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside
        .map(|target| match target.split_once('#') {
            Some((file, heading)) => (file.to_owned(), Some(heading.to_owned())),
            None => (target, None),
        })
        .collect()
}

/// The names that headings have in addresses, on GitHub as in mdBook.
fn headings(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let Some((_, title)) =
            line.split_once(' ').filter(|(marks, _)| marks.bytes().all(|byte| byte == b'#'))
        else {
            continue;
        };
        if is_code {
            continue;
        }
        let title = title.to_lowercase().replace(' ', "-");
        let name: String = title.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect();
        let mut other = name.clone();
        for n in 1.. {
            if names.insert(other.clone()) {
                break;
            }
            other = format!("{name}-{n}");
        }
    }
    names
}

fn is_broken(page: &Path, file: &str, heading: Option<&str>) -> Option<String> {
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    let Ok(target) = target.canonicalize() else {
        return Some(format!("{}: {file} is not there", page.display()));
    };
    let docs = project().join("docs").canonicalize().unwrap();
    if page.starts_with(&docs) && !target.starts_with(&docs) {
        return Some(format!("{}: {file} is not on the site", page.display()));
    }
    let is_there =
        heading.is_none_or(|heading| headings(&fs::read_to_string(&target).unwrap()).contains(heading));
    (!is_there).then(|| format!("{}: {file} has no heading #{}", page.display(), heading.unwrap_or_default()))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut all = BTreeSet::new();
    pages(&project().join("docs").canonicalize().unwrap(), &mut all);
    all.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| project().join(name)));
    let mut broken = Vec::new();
    let mut count = 0;
    for page in all {
        for (file, heading) in links(&fs::read_to_string(&page).unwrap()) {
            count += 1;
            broken.extend(is_broken(&page, &file, heading.as_deref()));
        }
    }
    assert!(count > 100, "only {count} links");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_site_has_every_page_once() {
    let docs = project().join("docs").canonicalize().unwrap();
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut all = BTreeSet::new();
    pages(&docs, &mut all);
    all.remove(&docs.join("SUMMARY.md"));
    let listed = links(&summary);
    let on_the_site: BTreeSet<PathBuf> = listed.iter().map(|(file, _)| docs.join(file)).collect();
    assert_eq!(on_the_site.len(), listed.len(), "a page is there twice");
    let missing: Vec<_> = all.difference(&on_the_site).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not name {missing:?}");
    let unknown: Vec<_> = on_the_site.difference(&all).collect();
    assert!(unknown.is_empty(), "docs/SUMMARY.md names {unknown:?}");
}
