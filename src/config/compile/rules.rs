//! What the keys of a stage's rules mean to each other.

use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::{Element, Setting};
use crate::config::keys::StageKeys;
use crate::logs::LogFile;
use std::time::Duration;

/// Where only one of the two delays is given, it holds for the other as well, if the default of that is beyond it.
pub(super) fn settle_delays<F, M>(initial: &mut Setting<F>, max: &mut Setting<M>, report: &mut Report)
where
    F: Element<Output = Duration>,
    M: Element<Output = Duration>,
{
    if initial.value <= max.value {
        return;
    }
    match (&initial.at, &max.at) {
        (Some(first), Some(most)) => report.push(
            Diagnostic::error("the first delay is longer than the longest")
                .at(&first.value)
                .also(&most.value, "the longest"),
        ),
        (Some(_), None) => max.value = initial.value,
        (None, _) => initial.value = max.value,
    }
}

/// The first `{word}` of a path.
fn field(path: &str) -> Option<&str> {
    let start = path.find('{')?;
    let end = start + path[start..].find('}')? + 1;
    path[start + 1..].starts_with(|letter: char| letter.is_ascii_alphabetic()).then_some(&path[start..end])
}

/// `log_file`: a file needs a name, or nothing else about it makes sense.
pub(super) fn log_file(stage: &str, keys: &StageKeys, report: &mut Report) -> Option<LogFile> {
    let (at, keys) = (&keys.log_file.at, &keys.log_file.value);
    let Some(path) = &keys.path.value else {
        if let Some(at) = at.as_ref().filter(|_| !keys.unread.may_be("path")) {
            let fault = Diagnostic::error("`log_file` has no `path`").at(&at.value);
            report.push(fault.help("such as `log_file = { path = \"logs/{stage}.log\" }`"));
        }
        return None;
    };
    let path = path.replace("{stage}", stage);
    if let (Some(field), Some(at)) = (field(&path), &keys.path.at) {
        let title =
            format!("`{field}` stays as it is in the name of the file: only `{{stage}}` is filled in");
        report.push(Diagnostic::warning(title).at(&at.value));
    }
    Some(LogFile {
        path: path.into(),
        max_size: keys.max_size.value,
        max_age: keys.max_age.value,
        keep: keys.keep.value,
    })
}
