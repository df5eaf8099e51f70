//! The file as a tree of values that know their place: TOML read, `--set` merged in, variables expanded.
//! Nothing here knows what a pipeline is.

mod depth;
mod foreign_file;
mod home_folder;
mod json;
mod node;
mod parse;
mod place;
mod recovery;
mod set;
mod syntax_hints;
mod variables;

pub(super) use home_folder::{check as check_home_folders, fault as home_folder_fault};
pub(super) use json::to_json;
pub(super) use node::{Content, Entry, Node, Table};
pub(super) use parse::{Parsed, parse};
pub(super) use set::apply as apply_sets;
pub(super) use variables::{Environment, expand};
