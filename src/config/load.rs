//! From a path to a checked pipeline: the steps in their order.

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::{self, Selection};
use super::diagnostic::{Report, Source, Span};
use super::document::{self, Content, Environment, Node, Parsed};
use super::elements::{Element, PipelineName};
use super::keys::FileKeys;
use super::machine::MachineNeeds;
use super::pipeline::Pipeline;
use super::source;
use crate::stage::Registry;

/// What the command line adds to the file.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct LoadOptions {
    /// `--set PATH=VALUE`, in their order.
    pub sets: Vec<String>,
    /// `--stages`: only these; the others are as if disabled.
    pub stages: Option<Vec<String>>,
    /// Only work off what is there: sources are off, and the queues are durable whatever the file says.
    pub works_off: bool,
}

/// A good file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub pipeline: Pipeline,
    /// What in it has no effect.
    pub warnings: Report,
    /// The file itself.
    pub text: String,
    /// What it needs of the machine.
    pub(in crate::config) needs: MachineNeeds,
}

/// The name of a pipeline whose file gives none.
pub fn name_of_file(path: &Path) -> String {
    PipelineName::of_file(path)
}

/// The file by which a pipeline is known, where it has no name of its own: two files of one name are two pipelines.
pub fn file_without_name(name: &str, path: &Path) -> Option<PathBuf> {
    let is_named = name != name_of_file(path);
    (!is_named).then(|| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

/// The name of the pipeline in a file that need not be a good one any more.
pub fn name_in_file(path: &Path) -> String {
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let named = table.and_then(|table| table.get("name")?.as_str().map(str::to_owned));
    named.unwrap_or_else(|| name_of_file(path))
}

/// Reads a pipeline file and checks it in itself; [`surveyed`](super::surveyed) holds it against the machine. The error holds every fault that was found.
pub fn load(path: &Path, options: &LoadOptions, registry: &Registry) -> Result<Loaded, Report> {
    load_source(source::read(path)?, path, options, registry)
}

/// The same for a file that is to take the place of another, from which it gets its folder and, without `name`, its
/// name. It must be a regular file, which is read without waiting.
pub fn load_for(
    path: &Path,
    known_as: &Path,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    load_source(source::read_again(path)?, known_as, options, registry)
}

/// Checks a text that was read from a pipeline file earlier.
pub fn load_text(
    known_as: &Path,
    text: String,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    let source = Source { name: known_as.display().to_string(), text };
    load_source(Arc::new(source), known_as, options, registry)
}

fn load_source(
    source: Arc<Source>,
    known_as: &Path,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    let mut report = Report::new();
    let Parsed { mut table, is_partial } = document::parse(&source, &mut report);
    if !is_partial {
        document::apply_sets(&mut table, &options.sets, &mut report);
    }
    document::expand(&mut table, &ProcessEnvironment, &mut report);
    let start = Span::new(&source, 0..0);
    let top = Node { span: start.clone(), content: Content::Table(table) };
    let keys = FileKeys::read(&top, &mut report);

    let mut pipeline = None;
    if let Some(keys) = keys.filter(|_| !is_partial && !report.is_full()) {
        let home = Home::of(known_as);
        let selection =
            Selection { name: home.name, folder: home.folder, start, stages: options.stages.as_deref() };
        pipeline = compile::compile(keys, selection, registry, &mut report);
    }
    if options.works_off
        && let Some((pipeline, _)) = &mut pipeline
    {
        pipeline.work_off();
    }
    report.sort(&source);
    match pipeline {
        Some((pipeline, needs)) if report.faults() == 0 => {
            Ok(Loaded { pipeline, warnings: report, text: source.text.clone(), needs })
        }
        _ => Err(report),
    }
}

/// What a pipeline takes from the path of its file.
struct Home {
    name: String,
    folder: PathBuf,
}

impl Home {
    fn of(path: &Path) -> Home {
        // A link's own folder, not its target's: that is what the user sees, and what changes when the link does.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        Home { name: PipelineName::of_file(path), folder }
    }
}

/// The variables of this process.
struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Result<String, VarError> {
        std::env::var(name)
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}
