//! The files of the page, and what a request for a path has to show.

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// Where codes are exchanged, and the page that does it.
pub(super) const OPEN: &str = "/open";
pub(super) const INDEX: &str = include_str!("page/index.html");
/// For a browser without a session: how to get one, and nothing else.
pub(super) const OPEN_PAGE: &str = include_str!("page/open.html");

/// The others, below `/page/`.
pub(super) const FILES: [(&str, &str, &str); 21] = [
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

/// What a request for this path has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    Session,
    Token,
}

pub(super) fn needs(path: &str) -> Needs {
    match path.strip_prefix("/page/") {
        Some(name) if OPEN_FILES.contains(&name) => Needs::Nothing,
        Some(_) => Needs::Session,
        None if path == OPEN => Needs::Nothing,
        None if path == "/" => Needs::Session,
        None => Needs::Token,
    }
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
