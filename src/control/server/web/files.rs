//! The files of the page, and what the path of a request leads to.

use crate::control::protocol::endpoint;
use hyper::Method;

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// Where codes are exchanged, and the page that does it.
const OPEN: &str = "/open";
pub(super) const INDEX: &str = include_str!("page/index.html");
/// For a browser without a session: how to get one, and nothing else.
pub(super) const OPEN_PAGE: &str = include_str!("page/open.html");

/// The others, below `/page/`.
const FILES: [(&str, &str, &str); 21] = [
    ("page.css", CSS, include_str!("page/page.css")),
    ("icon.svg", ICON, include_str!("page/icon.svg")),
    ("open.js", SCRIPT, include_str!("page/open.js")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("words.js", SCRIPT, include_str!("page/words.js")),
    ("stream.js", SCRIPT, include_str!("page/stream.js")),
    ("worker.js", SCRIPT, include_str!("page/worker.js")),
    ("graph.js", SCRIPT, include_str!("page/graph.js")),
    ("fold.js", SCRIPT, include_str!("page/fold.js")),
    ("lines.js", SCRIPT, include_str!("page/lines.js")),
    ("times.js", SCRIPT, include_str!("page/times.js")),
    ("summary.js", SCRIPT, include_str!("page/summary.js")),
    ("events.js", SCRIPT, include_str!("page/events.js")),
    ("machines.js", SCRIPT, include_str!("page/machines.js")),
    ("pipelines.js", SCRIPT, include_str!("page/pipelines.js")),
    ("stage.js", SCRIPT, include_str!("page/stage.js")),
    ("queue.js", SCRIPT, include_str!("page/queue.js")),
    ("letters.js", SCRIPT, include_str!("page/letters.js")),
    ("reload.js", SCRIPT, include_str!("page/reload.js")),
];
/// What a browser without a session needs.
const OPEN_FILES: [&str; 3] = ["page.css", "icon.svg", "open.js"];

/// One of [`FILES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::server) struct PageFile {
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
    /// A browser without a session needs it.
    pub(super) is_public: bool,
}

/// What the path of a request leads to. Both the rights and the answer come from this, and neither from the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control::server) enum Target {
    /// The page.
    Index,
    /// The exchange of a code for a session.
    Open,
    /// A file of the page; none: there is none of this name.
    File(Option<PageFile>),
    /// A path of the API, and its method; none: there is no such path.
    Api(Option<(&'static str, Method)>),
}

impl Target {
    /// Over TCP, where the page is served as well.
    pub(in crate::control::server) fn over_tcp(path: &str) -> Target {
        match path.strip_prefix("/page/") {
            Some(name) => Target::File(file(name)),
            None if path == OPEN => Target::Open,
            None if path == "/" => Target::Index,
            None => Target::Api(endpoint(path)),
        }
    }
}

fn file(name: &str) -> Option<PageFile> {
    let (_, kind, text) = FILES.into_iter().find(|(known, _, _)| *known == name)?;
    Some(PageFile { kind, text, is_public: OPEN_FILES.contains(&name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_makes_markup_or_code_of_a_text() {
        let ways = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "DOMParser",
            "setHTML",
            "srcdoc",
            "eval(",
            "new Function",
            "javascript:",
        ];
        for (name, kind, text) in FILES {
            for way in ways.iter().filter(|_| kind == SCRIPT) {
                assert!(!text.contains(way), "{name}: {way}");
            }
        }
    }
}
