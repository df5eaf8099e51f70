//! The file as a tree of values that know their place: TOML read, `--set` merged in, variables expanded.
//! Nothing here knows what a pipeline is.

mod depth;
mod duplicate_keys;
mod json;
mod node;
mod parse;
mod recovery;
mod set;
mod syntax_hints;
mod variables;

pub use json::to_json;
pub use node::{Content, Entry, Node, Table};
pub use parse::{Parsed, parse};
pub use set::apply as apply_sets;
pub use variables::{Environment, expand};
