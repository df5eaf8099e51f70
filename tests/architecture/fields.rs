//! How many flags, counters and times a struct holds: its own, and those of the structs of the crate that it owns by
//! value. What lies behind a pointer, in a collection or in an enum is another thing's.

use super::imports::{after_item, is_for_tests, tokens};
use std::path::{Path, PathBuf};

const SIMPLE: [&str; 18] = [
    "bool",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "Instant",
    "Duration",
    "SystemTime",
    "AtomicBool",
    "AtomicU64",
];
/// What holds a value within itself.
const WITHIN: [&str; 3] = ["Option", "Cell", "RefCell"];

pub struct Struct {
    pub file: PathBuf,
    pub name: String,
    /// The types of its fields, as tokens.
    fields: Vec<Vec<String>>,
}

/// All structs of a file. A name that it gives to a type counts as a struct of one field, an enum as one of none.
pub fn structs(file: &Path, text: &str) -> Vec<Struct> {
    let (tokens, mut all, mut i) = (tokens(text), Vec::new(), 0);
    while i < tokens.len() {
        match tokens[i].as_str() {
            "#" if is_for_tests(&tokens[i..]) => i = after_item(&tokens, i),
            "struct" => {
                let open =
                    i + tokens[i..].iter().position(|t| ["{", "(", ";"].contains(&t.as_str())).unwrap();
                let end = close(&tokens, open);
                let is_named = tokens[open] == "{";
                let fields = parts(&tokens[(open + 1).min(end)..end]);
                let fields = fields.map(|field| type_of(field, is_named)).filter(|field| !field.is_empty());
                all.push(Struct { file: file.into(), name: tokens[i + 1].clone(), fields: fields.collect() });
                i = open;
            }
            "enum" => all.push(Struct { file: file.into(), name: tokens[i + 1].clone(), fields: Vec::new() }),
            "type" if tokens.get(i + 2).is_some_and(|next| next == "=") => {
                let end = i + tokens[i..].iter().position(|token| token == ";").unwrap();
                let fields = vec![tokens[i + 3..end].to_vec()];
                all.push(Struct { file: file.into(), name: tokens[i + 1].clone(), fields });
            }
            _ => {}
        }
        i += 1;
    }
    all
}

/// Where a bracket ends.
fn close(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    let ends = |token: &String| {
        depth += i32::from(["{", "(", "["].contains(&token.as_str()));
        depth -= i32::from(["}", ")", "]"].contains(&token.as_str()));
        depth == 0
    };
    open + tokens[open..].iter().position(ends).unwrap()
}

/// What stands between commas.
fn parts(tokens: &[String]) -> impl Iterator<Item = &[String]> {
    let (mut depth, mut last) = (0_i32, "");
    tokens.split(move |token| {
        match token.as_str() {
            "{" | "(" | "[" | "<" => depth += 1,
            ">" if last == "-" => {}
            "}" | ")" | "]" | ">" => depth -= 1,
            _ => {}
        }
        last = if token == "-" { "-" } else { "" };
        token == "," && depth == 0
    })
}

/// The type of a field, without attributes, visibility and name.
fn type_of(field: &[String], is_named: bool) -> Vec<String> {
    let mut rest = field;
    while rest.first().is_some_and(|token| token == "#") {
        let close = rest.iter().position(|token| token == "]").unwrap();
        rest = &rest[close + 1..];
    }
    if is_named {
        let colon = rest.iter().position(|token| token == ":");
        return colon.map_or(Vec::new(), |colon| rest[colon + 1..].to_vec());
    }
    if rest.first().is_some_and(|token| token == "pub") {
        rest = &rest[1..];
        if rest.len() > 1 && rest[0] == "(" && ["crate", "super", "in"].contains(&rest[1].as_str()) {
            let close = rest.iter().position(|token| token == ")").unwrap();
            rest = &rest[close + 1..];
        }
    }
    rest.to_vec()
}

/// The flags, counters and times of a struct. `exempt`: files whose structs, and structs by file and name, that are not looked into.
pub fn count(one: &Struct, all: &[Struct], exempt: &[&str]) -> usize {
    one.fields.iter().map(|field| count_type(field, one, all, exempt)).sum()
}

pub fn is_exempt(one: &Struct, exempt: &[&str]) -> bool {
    let file = one.file.to_string_lossy();
    exempt.iter().any(|place| file == *place || format!("{file} {}", one.name) == *place)
}

fn count_type(field: &[String], within: &Struct, all: &[Struct], exempt: &[&str]) -> usize {
    match field {
        [open, inner @ .., close] if open == "(" && close == ")" => {
            parts(inner).map(|part| count_type(part, within, all, exempt)).sum()
        }
        [holder, open, inner @ .., close]
            if WITHIN.contains(&holder.as_str()) && open == "<" && close == ">" =>
        {
            count_type(inner, within, all, exempt)
        }
        _ => {
            let arguments = field.iter().position(|token| token == "<").unwrap_or(field.len());
            let path = &field[..arguments];
            let Some(name) = path.last().filter(|_| path.iter().all(|token| is_path(token))) else {
                return 0;
            };
            match SIMPLE.contains(&name.as_str()) {
                true => 1,
                false => {
                    let owned = found(name, within, all).filter(|owned| !is_exempt(owned, exempt));
                    owned.map_or(0, |owned| count(owned, all, exempt))
                }
            }
        }
    }
}

fn is_path(token: &str) -> bool {
    token == "::" || token.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The struct of this name whose file is nearest.
fn found<'a>(name: &str, within: &Struct, all: &'a [Struct]) -> Option<&'a Struct> {
    let near = |other: &&Struct| {
        let common = within.file.components().zip(other.file.components()).take_while(|(a, b)| a == b);
        (other.file == within.file, common.count())
    };
    let same = all.iter().filter(|other| other.name == name && !std::ptr::eq(*other, within));
    same.max_by_key(near)
}

#[test]
fn fields_are_counted_through_owned_structs() {
    let text = "struct Owner<'a> { pub a: bool, #[serde(default)] b: Option<Instant>, c: Own, d: Vec<Own>, e: (u8, Own),
        f: &'a Own, g: Box<dyn Fn(u8) -> u8>, h: Few }
        pub(crate) struct Own(pub u64, pub(crate) super::Id, String);
        type Id = u32; struct Few { many: Many } enum Many { One(u64) }
        #[cfg(test)] struct Tests { a: bool }";
    let all = structs(Path::new("a.rs"), text);
    assert_eq!(
        all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["Owner", "Own", "Id", "Few", "Many"]
    );
    assert_eq!(count(&all[1], &all, &[]), 2);
    assert_eq!(count(&all[0], &all, &[]), 1 + 1 + 2 + 3);
    assert_eq!(count(&all[0], &all, &["a.rs Own"]), 3);
}
