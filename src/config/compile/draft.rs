//! The stages of a file with the defaults put in, and which of them are on.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::diagnostic::{Diagnostic, Report, Source, Span, list, nearest, quote};
use crate::config::elements::{At, Element, Fields};
use crate::config::include::{Included, folder_of};
use crate::config::keys::{FileKeys, StageKeys};

/// What comes from outside the file.
pub(crate) struct Selection<'a> {
    /// The pipeline's name where the file gives none.
    pub name: String,
    /// The file's folder.
    pub folder: PathBuf,
    /// The file's first character: for faults of the whole.
    pub start: Span,
    /// Only these stages; the others are as if disabled.
    pub stages: Option<&'a [String]>,
    /// The files that it includes.
    pub included: &'a [Included],
}

/// A stage on its way from keys to pipeline.
pub(super) struct Draft {
    pub name: String,
    pub span: Span,
    /// Where its paths start, if not at the pipeline's folder.
    pub folder: Option<PathBuf>,
    /// Its own keys over those of `[defaults]`.
    pub keys: StageKeys,
    /// Keys that the stage itself sets, and where.
    pub own_keys: Vec<(&'static str, At)>,
    /// Keys of a program that the stage itself sets, and where.
    pub own_program_keys: Vec<(&'static str, At)>,
    /// It sets `restart` itself.
    pub sets_restart: bool,
    /// Of its outputs the last ones, so many, which get only items that are for them.
    pub apart: usize,
    /// Why it is not to run, if so.
    pub off: Option<Off>,
}

impl Draft {
    /// Whether the stage itself sets a key.
    pub(super) fn owns(&self, key: &str) -> bool {
        self.own_keys.iter().any(|(own, _)| *own == key)
    }
}

/// Why a stage is not to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Off {
    /// `enabled = false`.
    Disabled,
    /// `--stages` does not name it.
    NotSelected,
}

impl Off {
    /// As it fits after "the stage … is".
    pub(super) fn words(self) -> &'static str {
        match self {
            Off::Disabled => "disabled",
            Off::NotSelected => "not among --stages",
        }
    }
}

/// All stages of the file, disabled ones included.
pub(super) fn all(keys: &FileKeys, selection: &Selection<'_>, report: &mut Report) -> Vec<Draft> {
    let selected = selection.stages;
    let drafts: Vec<Draft> = keys
        .stages
        .value
        .all
        .iter()
        .map(|item| {
            let mut merged = StageKeys::over(item.keys.clone(), keys.defaults.value.clone());
            let folder = folder_of(&item.span, selection.included);
            if folder.is_some() {
                settle_paths(&mut merged, selection);
            }
            let off = off(&item.name, merged.enabled.value, selected);
            Draft {
                name: item.name.clone(),
                span: item.span.clone(),
                folder,
                keys: merged,
                own_keys: item.keys.set_keys().into_iter().map(|(key, at)| (key, at.clone())).collect(),
                own_program_keys: item.keys.of_program(),
                sets_restart: item.keys.restart.at.is_some(),
                apart: 0,
                off,
            }
        })
        .collect();
    check_selected(&drafts, selected.unwrap_or(&[]), report);
    check_some(&drafts, keys, &selection.start, report);
    drafts
}

/// What `[defaults]` and the command line say of an included stage starts at the pipeline's folder, all the same.
fn settle_paths(keys: &mut StageKeys, selection: &Selection<'_>) {
    let is_own =
        |at: &Option<At>| at.as_ref().is_none_or(|at| folder_of(&at.value, selection.included).is_some());
    let StageKeys { env_file, cwd, log_file, .. } = keys;
    if !is_own(&env_file.at) {
        env_file.value.iter_mut().for_each(|path| *path = selection.folder.join(&path));
    }
    if !is_own(&cwd.at) {
        cwd.value = cwd.value.take().map(|path| selection.folder.join(path));
    }
    let log = &mut log_file.value.path;
    if !is_own(&log.at) {
        let whole = |path: String| selection.folder.join(path).to_string_lossy().into_owned();
        log.value = log.value.take().map(whole);
    }
}

fn off(name: &str, enabled: bool, selected: Option<&[String]>) -> Option<Off> {
    if !enabled {
        return Some(Off::Disabled);
    }
    selected.is_some_and(|names| !names.iter().any(|own| own == name)).then_some(Off::NotSelected)
}

/// `--stages` names stages of the file only.
fn check_selected(drafts: &[Draft], selected: &[String], report: &mut Report) {
    let source = Arc::new(Source { name: "--stages".into(), text: selected.join(",") });
    let mut start = 0;
    for name in selected {
        let span = Span::new(&source, start..start + name.len());
        start += name.len() + 1;
        if drafts.iter().all(|draft| draft.name != *name) {
            let names = || drafts.iter().map(|draft| draft.name.as_str());
            let near = nearest(name, names()).map(|near| format!("`{near}`"));
            let fault = Diagnostic::error(format!("the file has no stage {}", quote(name))).at(&span);
            report.push(fault.did_you_mean(near).accepted(list(names(), "and")));
        }
    }
}

fn check_some(drafts: &[Draft], keys: &FileKeys, start: &Span, report: &mut Report) {
    if drafts.iter().any(|draft| draft.off.is_none()) || !keys.stages.value.lost.is_empty() {
        return;
    }
    match drafts.iter().find(|draft| draft.off == Some(Off::Disabled)) {
        Some(draft) => {
            let at = draft.keys.enabled.at.as_ref().map_or(&draft.span, |at| &at.value);
            report.push(Diagnostic::error("no stage is enabled").at(at));
        }
        None if drafts.is_empty() && !keys.unread.may_be("stages") => {
            let fault = Diagnostic::error("the file has no stage").at(start);
            report.push(fault.help("a stage begins with a line `[stages.NAME]`"));
        }
        None => {}
    }
}
