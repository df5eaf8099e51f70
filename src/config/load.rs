//! From a path to a checked pipeline: the steps in their order.

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::{self, Selection};
use super::diagnostic::{Report, Source, Span};
use super::document::{self, Content, Environment, Node, Parsed, Table};
use super::elements::{Element, PatternText, PipelineName};
use super::include::{self, Included, IncludedText, Texts, Watched};
use super::keys::{self, FileKeys};
use super::machine::MachineNeeds;
use super::pipeline::Pipeline;
use super::source;
use crate::file_watch::FilePattern;
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
    /// The file itself, and those that it includes.
    pub texts: Texts,
    /// What else decides what is to run.
    pub watched: Watched,
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

/// The stages in a file that need not be a good one, and in those that it includes. It waits for no file, and says nothing.
pub fn stages_in_file(path: &Path) -> Vec<String> {
    let Ok(main) = source::read_again(path) else { return Vec::new() };
    let mut unheard = Report::new();
    let parsed = document::parse(&main, &mut unheard);
    let patterns = patterns(&parsed.table, path, &LoadOptions::default());
    let included = include::read(&patterns, path, &mut unheard);
    let (table, _) = tree(parsed, &included, &LoadOptions::default(), &mut unheard);
    match table.get("stages").map(|entry| &entry.value.content) {
        Some(Content::Table(stages)) => stages.entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Reads a pipeline file and checks it in itself; [`surveyed`](super::surveyed) holds it against the machine. The error holds every fault that was found.
pub fn load(path: &Path, options: &LoadOptions, registry: &Registry) -> Result<Loaded, Report> {
    with_included(source::read(path)?, path, options, registry)
}

/// The same for a file that is to take the place of another, from which it gets its folder and, without `name`, its
/// name. It must be a regular file, which is read without waiting.
pub fn load_for(
    path: &Path,
    known_as: &Path,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    with_included(source::read_again(path)?, known_as, options, registry)
}

/// Checks texts that were read earlier. It reads no file.
pub fn load_texts(
    known_as: &Path,
    texts: Texts,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    read_texts(known_as.display().to_string(), known_as, texts, options, registry)
}

/// The same for the text that a command line stands for. Messages say so, as there is no file called `known_as`.
pub(crate) fn load_line(
    known_as: &Path,
    text: String,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    let texts = Texts { main: text, ..Texts::default() };
    read_texts("the file of this line".to_owned(), known_as, texts, options, registry)
}

fn read_texts(
    shown_as: String,
    known_as: &Path,
    texts: Texts,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    let source = |name: String, text: String| Arc::new(Source { name, text });
    let main = source(shown_as, texts.main);
    let included = texts.included.into_iter().map(|IncludedText { path, text }| {
        let source = source(path.display().to_string(), text);
        Included { path, source }
    });
    let mut report = Report::new();
    let parsed = document::parse(&main, &mut report);
    let patterns = patterns(&parsed.table, known_as, options);
    let sources = Sources { main, parsed, patterns, included: included.collect() };
    load_sources(sources, known_as, options, registry, report)
}

/// Which files a pipeline file includes, whatever else may be wrong with it. It must be a regular file.
pub fn included_by(path: &Path, known_as: &Path, options: &LoadOptions) -> Watched {
    let Ok(main) = source::read_again(path) else { return Watched::default() };
    let mut unheard = Report::new();
    let patterns = patterns(&document::parse(&main, &mut unheard).table, known_as, options);
    let included = include::read(&patterns, known_as, &mut unheard);
    Watched::new(patterns.iter().map(|(_, pattern)| pattern), &included)
}

/// All that a pipeline is read from.
struct Sources {
    main: Arc<Source>,
    /// What the main file says.
    parsed: Parsed,
    patterns: Vec<(PatternText, FilePattern)>,
    included: Vec<Included>,
}

fn with_included(
    main: Arc<Source>,
    known_as: &Path,
    options: &LoadOptions,
    registry: &Registry,
) -> Result<Loaded, Report> {
    let mut report = Report::new();
    let mut parsed = document::parse(&main, &mut report);
    let patterns = patterns(&parsed.table, known_as, options);
    let before = report.faults();
    let included = include::read(&patterns, known_as, &mut report);
    parsed.is_partial |= report.faults() > before;
    load_sources(Sources { main, parsed, patterns, included }, known_as, options, registry, report)
}

/// What the file includes. What is wrong with `include` itself is reported when the keys are read.
fn patterns(main: &Table, known_as: &Path, options: &LoadOptions) -> Vec<(PatternText, FilePattern)> {
    let mut unheard = Report::new();
    let mut table = Table { entries: main.get("include").cloned().into_iter().collect() };
    document::apply_sets(&mut table, &options.sets, &mut unheard);
    document::expand(&mut table, &ProcessEnvironment, &mut unheard);
    include::patterns(&table, known_as)
}

/// The tree of all files together; `true`: it lacks parts of them.
fn tree(main: Parsed, included: &[Included], options: &LoadOptions, report: &mut Report) -> (Table, bool) {
    let Parsed { mut table, mut is_partial } = main;
    for file in included {
        let parsed = document::parse(&file.source, report);
        is_partial |= parsed.is_partial;
        include::merge(&mut table, parsed.table, report);
    }
    if !is_partial {
        document::apply_sets(&mut table, &options.sets, report);
    }
    document::expand(&mut table, &ProcessEnvironment, report);
    document::check_home_folders(&table, report);
    (table, is_partial)
}

fn load_sources(
    sources: Sources,
    known_as: &Path,
    options: &LoadOptions,
    registry: &Registry,
    mut report: Report,
) -> Result<Loaded, Report> {
    let Sources { main, parsed, patterns, included } = sources;
    let (table, is_partial) = tree(parsed, &included, options, &mut report);
    let start = Span::new(&main, 0..0);
    let top = Node { span: start.clone(), content: Content::Table(table) };
    let keys = FileKeys::read(&top, &mut report);
    report.explain_keys(|key| keys::help_for(key, registry));

    let mut pipeline = None;
    // What a file holds that was not looked for is missed by others.
    let is_whole = |keys: &FileKeys| !is_partial && !keys.unread.has("include");
    if let Some(keys) = keys.filter(|keys| is_whole(keys) && !report.is_full()) {
        let Home { name, folder } = Home::of(known_as);
        let stages = options.stages.as_deref();
        let selection = Selection { name, folder, start, stages, included: &included };
        pipeline = compile::compile(keys, selection, registry, &mut report);
    }
    if options.works_off
        && let Some((pipeline, _)) = &mut pipeline
    {
        pipeline.work_off();
    }
    report.sort([&main].into_iter().chain(included.iter().map(|file| &file.source)));
    match pipeline {
        Some((pipeline, needs)) if report.faults() == 0 => {
            let mut watched = Watched::new(patterns.iter().map(|(_, pattern)| pattern), &included);
            watched.add_env_files(&pipeline);
            let texts = Texts { main: main.text.clone(), included: texts(included) };
            Ok(Loaded { pipeline, warnings: report, texts, watched, needs })
        }
        _ => Err(report),
    }
}

fn texts(included: Vec<Included>) -> Vec<IncludedText> {
    let text = |file: Included| IncludedText { text: file.source.text.clone(), path: file.path };
    included.into_iter().map(text).collect()
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
