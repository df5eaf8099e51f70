//! The stages that come with mprun: few, and made to combine. Each has a file of its own.

use super::Registry;

// Sources
mod count;
mod lines;
mod list;
mod random;
mod repeat;
mod stdin;
mod tick;
// Transforms
mod filter;
mod format;
mod group;
mod parse;
mod route;
mod sum;
mod words;
// Sinks
mod discard;
mod file;
mod http;

mod position;
mod stream;

pub(crate) use http::without_authorities;

#[cfg(test)]
mod testing;

impl Registry {
    /// The stages that come with mprun.
    pub fn builtin() -> Registry {
        let registry = Registry::new()
            .source("random", random::build)
            .source("count", count::build)
            .source("repeat", repeat::build)
            .source("lines", lines::build)
            .source("list", list::build)
            .source("stdin", stdin::build)
            .source("tick", tick::build);
        registry
            .stage("filter", filter::build)
            .stage("format", format::build)
            .stage("group", group::build)
            .stage("route", route::build)
            .stage("parse", parse::build)
            .stage("words", words::build)
            .stage("sum", sum::build)
            .sink("file", file::build)
            .delivery("http", http::build)
            .sink("discard", discard::build)
    }
}
