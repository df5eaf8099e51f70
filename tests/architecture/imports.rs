//! Which file of the crate uses which, from the paths in its source: `use` trees and paths within expressions that begin
//! with `crate`, `super`, `self` or a child module. A path through a re-export leads to the file that it names; the file
//! that re-exports it uses it only where it names it once more. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by the segments of its path: `["queue", "arena"]`.
type Module = Vec<String>;

struct Source {
    /// Relative to `src`.
    file: String,
    code: Code,
}

/// The files of the crate, as modules.
pub struct Crate {
    sources: BTreeMap<Module, Source>,
}

impl Crate {
    pub fn read() -> Crate {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = BTreeMap::new();
        read_module(&root, "lib.rs".into(), Vec::new(), &mut sources);
        Crate { sources }
    }

    /// Every use of a file by another one.
    pub fn uses(&self) -> BTreeSet<(String, String)> {
        let mut all = BTreeSet::new();
        for (module, source) in &self.sources {
            for path in source.code.paths.iter().filter(|path| source.code.is_use(path)) {
                if let Some(file) = self.file_of(&self.absolute(module, path))
                    && file != source.file
                {
                    all.insert((source.file.clone(), file));
                }
            }
        }
        all
    }

    /// From the crate's root; `None`: a path into another crate.
    fn absolute(&self, module: &Module, path: &UsedPath) -> Option<Vec<String>> {
        let mut place = module.clone();
        place.extend(path.inside.iter().cloned());
        let first = path.segments.first()?;
        match first.as_str() {
            "crate" => place.clear(),
            "self" => {}
            "super" => {}
            // A child module of this file, or another crate.
            name if self.sources.contains_key(&[module.clone(), vec![name.to_owned()]].concat()) => {
                place = module.clone();
                place.push(name.to_owned());
            }
            _ => return None,
        }
        let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
        place.truncate(place.len().saturating_sub(supers));
        place.extend(path.segments.iter().skip(supers.max(1)).cloned());
        Some(place)
    }

    /// The file that a path leads to: its longest part that is a module, or what that one re-exports.
    fn file_of(&self, path: &Option<Vec<String>>) -> Option<String> {
        let mut path = path.clone()?;
        for _ in 0..20 {
            let known = (0..=path.len()).rev().find(|&n| self.sources.contains_key(&path[..n]))?;
            let (module, rest) = (path[..known].to_vec(), path[known..].to_vec());
            let source = &self.sources[&module];
            let Some(name) = rest.first() else { return Some(source.file.clone()) };
            let Some(reexport) = source.code.paths.iter().find(|path| path.is_reexport && path.name == *name)
            else {
                return Some(source.file.clone());
            };
            path = self.absolute(&module, reexport)?;
            path.extend(rest.into_iter().skip(1));
        }
        None
    }
}

fn read_module(root: &Path, file: PathBuf, module: Module, all: &mut BTreeMap<Module, Source>) {
    let Ok(text) = fs::read_to_string(root.join(&file)) else { return };
    let code = Code::of(&text);
    let is_folder = ["lib.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
    let folder = if is_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    for name in &code.children {
        let child = [module.clone(), vec![name.clone()]].concat();
        for place in [format!("{name}.rs"), format!("{name}/mod.rs")] {
            read_module(root, folder.join(place), child.clone(), all);
        }
    }
    all.insert(module, Source { file: file.to_str().unwrap().to_owned(), code });
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let text = "mod child; mod other; use super::a::A; pub use child::{B, C}; struct Own(B);
        fn f() { crate::d::e(); other::g(); vec![child::h]; }
        #[cfg(test)] mod tests { use super::only_in_tests; }";
    let code = Code::of(text);
    let used = code.paths.iter().filter(|path| code.is_use(path)).map(|path| path.segments.join("::"));
    let expected = ["super::a::A", "child::B", "crate::d::e", "other::g", "child::h"];
    assert_eq!(used.collect::<Vec<_>>(), expected);
}

/// What a file's text says of modules.
#[derive(Default)]
struct Code {
    /// Modules in files of their own.
    children: Vec<String>,
    paths: Vec<UsedPath>,
    /// The words outside of `use` trees.
    words: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct UsedPath {
    /// The inline modules that it stands in.
    inside: Vec<String>,
    segments: Vec<String>,
    /// What it is called here.
    name: String,
    is_reexport: bool,
}

impl Code {
    /// What is re-exported is used only where the file itself names it.
    fn is_use(&self, path: &UsedPath) -> bool {
        !path.is_reexport || self.words.contains(&path.name)
    }

    fn of(text: &str) -> Code {
        let tokens = tokens(text);
        let (mut code, mut i) = (Code::default(), 0);
        let (mut depth, mut inside) = (0, Vec::<(usize, String)>::new());
        let mut is_public = false;
        while i < tokens.len() {
            let here = || inside.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
            match tokens[i].as_str() {
                "#" if is_for_tests(&tokens[i..]) => i = after_item(&tokens, i),
                "pub" => {
                    let visibility = tokens.get(i + 1).filter(|next| *next == "(");
                    let close = visibility.and_then(|_| tokens[i..].iter().position(|token| token == ")"));
                    i += close.unwrap_or(0);
                    is_public = tokens.get(i + 1).is_some_and(|next| next == "use");
                }
                "mod" if tokens.get(i + 2).is_some_and(|next| next == ";") => {
                    code.children.push(tokens[i + 1].clone());
                    i += 1;
                }
                "mod" if tokens.get(i + 2).is_some_and(|next| next == "{") => {
                    inside.push((depth, tokens[i + 1].clone()));
                }
                "use" if tokens.get(i + 1).is_some_and(|next| next != "<") => {
                    let end =
                        i + tokens[i..].iter().position(|token| token == ";").unwrap_or(tokens.len() - i);
                    let whole = UsedPath { inside: here(), is_reexport: is_public, ..UsedPath::default() };
                    tree(&tokens[i + 1..end], whole, &mut code.paths);
                    (i, is_public) = (end, false);
                }
                // A name that is no module leads nowhere, see `Crate::absolute`.
                name if depth > 0
                    && tokens.get(i + 1).is_some_and(|next| next == "::")
                    && name.starts_with(|c: char| c.is_lowercase()) =>
                {
                    let words = tokens[i..].chunks(2).take_while(|pair| pair.len() == 2 && pair[1] == "::");
                    let mut segments: Vec<String> = words.map(|pair| pair[0].clone()).collect();
                    i += 2 * segments.len();
                    segments.push(tokens[i].clone());
                    code.paths.push(UsedPath { inside: here(), segments, ..UsedPath::default() });
                }
                "{" => depth += 1,
                "}" => {
                    assert!(depth > 0, "a brace too many before {:?}", &tokens[i.saturating_sub(30)..i]);
                    depth -= 1;
                    inside.retain(|(at, _)| *at < depth);
                }
                "fn" | "struct" | "enum" | "const" | "static" | "type" | "trait" | "impl" => {
                    is_public = false
                }
                word => drop(code.words.insert(word.to_owned())),
            }
            i += 1;
        }
        code
    }
}

pub fn is_for_tests(tokens: &[String]) -> bool {
    let attribute: String = tokens.iter().take_while(|token| *token != "]").cloned().collect();
    attribute == "#[cfg(test)" || attribute.starts_with("#[cfg(all(test")
}

/// Where the item ends that an attribute stands before.
pub fn after_item(tokens: &[String], from: usize) -> usize {
    let mut depth = 0;
    let start = from + tokens[from..].iter().position(|token| token == "]").unwrap_or(0) + 1;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return i,
            "}" | ")" | "]" if depth == 0 => return i - 1,
            "}" | ")" | "]" => depth -= 1,
            ";" | "," if depth == 0 => return i,
            _ => {}
        }
    }
    tokens.len()
}

/// The paths of a `use` tree.
fn tree(tokens: &[String], stem: UsedPath, all: &mut Vec<UsedPath>) {
    let mut path = stem.clone();
    let mut i = 0;
    while i < tokens.len() {
        match tokens[i].as_str() {
            "::" => {}
            "{" => {
                let (mut depth, mut start) = (0, i + 1);
                for (j, token) in tokens.iter().enumerate().skip(i) {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        "," if depth == 1 => {
                            tree(&tokens[start..j], path.clone(), all);
                            start = j + 1;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        tree(&tokens[start..j], path.clone(), all);
                        break;
                    }
                }
                return;
            }
            "as" => {
                path.name = tokens[i + 1].clone();
                break;
            }
            "self" if !path.segments.is_empty() => {}
            segment => {
                path.segments.push(segment.to_owned());
                path.name = segment.to_owned();
            }
        }
        i += 1;
    }
    if path.segments.len() > stem.segments.len() || !tokens.is_empty() {
        all.push(path);
    }
}

/// The words and signs of a text, without comments and without what stands in quotes.
pub fn tokens(text: &str) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let (end, is_code) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            'r' if rest.starts_with("r\"") => (rest[2..].find('"').map_or(rest.len(), |end| end + 3), false),
            'r' if rest.starts_with("r#\"") => (rest.find("\"#").map_or(rest.len(), |end| end + 2), false),
            '"' => (quoted(rest, '"').unwrap_or(rest.len()), false),
            '\'' => (character(rest).unwrap_or(1), false), // else a lifetime
            // A name that is a keyword elsewhere.
            'r' if rest.starts_with("r#") => {
                (rest[2..].find(|c: char| !c.is_alphanumeric()).map_or(rest.len(), |end| end + 2), true)
            }
            ':' if rest.starts_with("::") => (2, true),
            c if c.is_alphanumeric() || c == '_' => {
                (rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()), true)
            }
            c => (c.len_utf8(), !c.is_whitespace()),
        };
        if is_code {
            all.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
    }
    all
}

/// Where a character in quotes ends that the text begins with.
fn character(text: &str) -> Option<usize> {
    let inner = text.chars().nth(1)?;
    match inner {
        '\\' => quoted(text, '\''),
        _ => text[1 + inner.len_utf8()..].starts_with('\'').then_some(2 + inner.len_utf8()),
    }
}

/// Where a quotation ends that the text begins with.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return Some(i + 1);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

/// Groups of files that use each other in a circle, each with the uses that make it.
pub fn circles(uses: &BTreeSet<(String, String)>) -> Vec<Vec<(String, String)>> {
    let files: BTreeSet<&String> = uses.iter().flat_map(|(from, to)| [from, to]).collect();
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        files.iter().map(|&file| (file, reachable(uses, file))).collect();
    let mut found: Vec<Vec<(String, String)>> = Vec::new();
    let mut seen = BTreeSet::new();
    for &file in files.iter().filter(|&&file| reached[file].contains(file)) {
        if seen.contains(file) {
            continue;
        }
        let group: BTreeSet<&String> =
            reached[file].iter().copied().filter(|other| reached[other].contains(file)).collect();
        seen.extend(group.iter().copied());
        let within = uses.iter().filter(|(from, to)| group.contains(from) && group.contains(to));
        found.push(within.cloned().collect());
    }
    found
}

fn reachable<'a>(uses: &'a BTreeSet<(String, String)>, from: &str) -> BTreeSet<&'a String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        for (_, to) in uses.iter().filter(|(user, _)| user == file) {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}
