//! All stages that a pipeline file can name with `use`.

use super::settings::{self, Findings, Settings};
use super::{Context, Delivery, Failure, KeyDoc, Persistence, Source, Stage, WithFault};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

/// What a stage is, by its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has no input.
    Source,
    /// Has an input, and outputs.
    Transform,
    /// Has an input and emits nothing.
    Sink,
}

/// An opened stage.
pub(crate) enum Opened {
    Source(Box<dyn Source>),
    Stage(Box<dyn Stage>),
    Delivery(Box<dyn Delivery>),
}

type Open = Box<dyn FnOnce(&Context) -> Result<Opened, Failure>>;
type Build = Box<dyn Fn(&mut Settings<'_>) -> Open + Send + Sync>;

struct Entry {
    name: &'static str,
    kind: Kind,
    build: Build,
    /// What the builder says without parameters. Asked for when it is needed: a worker needs one stage, if any.
    described: OnceLock<Description>,
}

struct Description {
    about: &'static str,
    reads_stdin: bool,
    takes_routes: bool,
    output_key: Option<(&'static str, &'static [&'static str])>,
    keys: Vec<KeyDoc>,
    memory: Persistence,
}

impl Entry {
    fn described(&self) -> &Description {
        self.described.get_or_init(|| {
            let (found, _) = run(self.name, &self.build, &Map::new());
            let Findings { about, keys, reads_stdin, takes_routes, output_key, memory, .. } = found;
            Description { about, reads_stdin, takes_routes, output_key, keys, memory }
        })
    }
}

/// All stages that a pipeline file can name with `use`: the built-in ones and your own.
///
/// A builder is called to check a pipeline file and again in each worker. It only reads its [`Settings`]; what it
/// returns opens the stage (files, connections), in the worker alone.
///
/// ```
/// use mprun::{Emitter, Failure, Item, Kind, Registry, Stage};
///
/// struct Prefix(String);
///
/// impl Stage for Prefix {
///     fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
///         out.emit([self.0.as_bytes(), item.bytes()].concat())
///     }
/// }
///
/// let registry = Registry::builtin().stage("prefix", |with| {
///     with.about("Puts a text before each item.");
///     let text = with.key("text", "What to put there.").required();
///     move |_context| Ok(Prefix(text))
/// });
/// assert_eq!(registry.kind("prefix"), Some(Kind::Transform));
/// ```
///
/// A program of your own then runs any pipeline file that names it:
///
/// ```no_run
/// # let registry = mprun::Registry::builtin();
/// mprun::main(registry);
/// ```
#[derive(Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// An empty one.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a source. A name that is there already gets the new meaning; so with the next two.
    #[must_use]
    pub fn source<B, O, S>(self, name: &'static str, build: B) -> Registry
    where
        B: Fn(&mut Settings<'_>) -> O + Send + Sync + 'static,
        O: FnOnce(&Context) -> Result<S, Failure> + 'static,
        S: Source + 'static,
    {
        self.add(name, Kind::Source, move |with| {
            let open = build(with);
            Box::new(move |context| Ok(Opened::Source(Box::new(open(context)?))))
        })
    }

    /// Adds a transform: a stage with an input and outputs.
    #[must_use]
    pub fn stage<B, O, S>(self, name: &'static str, build: B) -> Registry
    where
        B: Fn(&mut Settings<'_>) -> O + Send + Sync + 'static,
        O: FnOnce(&Context) -> Result<S, Failure> + 'static,
        S: Stage + 'static,
    {
        self.add(name, Kind::Transform, boxed(build))
    }

    /// Adds a sink: a stage with an input that emits nothing.
    #[must_use]
    pub fn sink<B, O, S>(self, name: &'static str, build: B) -> Registry
    where
        B: Fn(&mut Settings<'_>) -> O + Send + Sync + 'static,
        O: FnOnce(&Context) -> Result<S, Failure> + 'static,
        S: Stage + 'static,
    {
        self.add(name, Kind::Sink, boxed(build))
    }

    /// Adds a sink that hands items over to something outside.
    #[must_use]
    pub(super) fn delivery<B, O, D>(self, name: &'static str, build: B) -> Registry
    where
        B: Fn(&mut Settings<'_>) -> O + Send + Sync + 'static,
        O: FnOnce(&Context) -> Result<D, Failure> + 'static,
        D: Delivery + 'static,
    {
        self.add(name, Kind::Sink, move |with| {
            let open = build(with);
            Box::new(move |context| Ok(Opened::Delivery(Box::new(open(context)?))))
        })
    }

    fn add<F>(mut self, name: &'static str, kind: Kind, build: F) -> Registry
    where
        F: Fn(&mut Settings<'_>) -> Open + Send + Sync + 'static,
    {
        self.entries.retain(|entry| entry.name != name);
        self.entries.push(Entry { name, kind, build: Box::new(build), described: OnceLock::new() });
        self
    }

    /// What the named stage is; `None`: there is none.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.find(name).map(|entry| entry.kind)
    }

    /// All names, in the order of their registration.
    pub fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.name).collect()
    }

    /// One sentence on what the named stage does.
    pub fn about(&self, name: &str) -> &str {
        self.find(name).map_or("", |entry| entry.described().about)
    }

    /// The parameters of the named stage.
    pub fn keys(&self, name: &str) -> &[KeyDoc] {
        self.find(name).map_or(&[], |entry| &entry.described().keys)
    }

    /// The parameter of the named stage that has this name, or that people call so.
    pub(crate) fn parameter_called(&self, name: &str, word: &str) -> Option<&'static str> {
        settings::called(word, self.keys(name))
    }

    /// Everything that is wrong with these parameters. Has no effect outside.
    pub fn check(&self, name: &str, with: &Map<String, Value>) -> Vec<WithFault> {
        self.find(name)
            .map_or_else(|| vec![unknown(name)], |entry| run(entry.name, &entry.build, with).0.faults)
    }

    /// What the named stage remembers with these parameters.
    pub fn memory(&self, name: &str, with: &Map<String, Value>) -> Persistence {
        self.find(name).map_or(Persistence::Nothing, |entry| run(entry.name, &entry.build, with).0.memory)
    }

    /// Whether what the named stage remembers, if it remembers anything, is only that it has begun.
    pub(crate) fn comes_once(&self, name: &str) -> bool {
        let remembers = |entry: &Entry| entry.described().memory != Persistence::Nothing;
        self.find(name).is_some_and(|entry| entry.kind == Kind::Transform && !remembers(entry))
    }

    /// Whether the named source comes to an end with these parameters.
    pub fn ends(&self, name: &str, with: &Map<String, Value>) -> bool {
        self.find(name).is_some_and(|entry| run(entry.name, &entry.build, with).0.ends)
    }

    /// Whether the named stage reads mprun's standard input.
    pub(crate) fn reads_stdin(&self, name: &str) -> bool {
        self.find(name).is_some_and(|entry| entry.described().reads_stdin)
    }

    /// Whether what the named stage reads or writes outside is another thing on another machine.
    pub(crate) fn stays(&self, name: &str, with: &Map<String, Value>) -> bool {
        self.find(name).is_some_and(|entry| run(entry.name, &entry.build, with).0.stays)
    }

    /// Whether the named stage writes a file.
    pub(crate) fn writes_file(&self, name: &str, with: &Map<String, Value>) -> bool {
        self.find(name).is_some_and(|entry| run(entry.name, &entry.build, with).0.writes.is_some())
    }

    /// Whether the named stage asks the certificate authorities of this machine whom to trust.
    pub(crate) fn needs_authorities(&self, name: &str, with: &Map<String, Value>) -> bool {
        self.find(name).is_some_and(|entry| run(entry.name, &entry.build, with).0.needs_authorities)
    }

    /// Whether the named stage sends items by `routes`.
    pub(crate) fn takes_routes(&self, name: &str) -> bool {
        self.find(name).is_some_and(|entry| entry.described().takes_routes)
    }

    /// The parameter by which the named stage gets one more output, and the words in it that name none.
    pub(crate) fn output_key(&self, name: &str) -> Option<(&'static str, &'static [&'static str])> {
        self.find(name)?.described().output_key
    }

    /// The stages that send items by `routes`.
    pub(crate) fn routers(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.described().takes_routes).map(|entry| entry.name)
    }

    /// Whether no line end follows what the named stage prints.
    pub(crate) fn prints_as_it_is(&self, name: &str, with: &Map<String, Value>) -> bool {
        self.find(name).is_some_and(|entry| run(entry.name, &entry.build, with).0.prints_as_it_is)
    }

    /// The files that the named stage needs at its start: a path or a pattern.
    pub(crate) fn input_files(&self, name: &str, with: &Map<String, Value>) -> Option<String> {
        run(name, &self.find(name)?.build, with).0.input_files
    }

    /// The folder in which the named stage writes files: a file alone where it has none.
    pub(crate) fn written_folder(
        &self,
        stage: &str,
        name: &str,
        with: &Map<String, Value>,
    ) -> Option<PathBuf> {
        Some(run(name, &self.find(name)?.build, with).0.writes?.folder(stage))
    }

    /// The file that the named stage writes into a folder that it does not make: its path is the same at all times.
    pub(crate) fn written_file(&self, stage: &str, name: &str, with: &Map<String, Value>) -> Option<PathBuf> {
        let path = run(name, &self.find(name)?.build, with).0.writes?;
        path.is_constant().then(|| path.render(stage, 0, SystemTime::UNIX_EPOCH).into())
    }

    /// The file that the named stage writes; the folder of its files, if they depend on a worker or on the time.
    pub(crate) fn written_place(
        &self,
        stage: &str,
        name: &str,
        with: &Map<String, Value>,
    ) -> Option<PathBuf> {
        let path = run(name, &self.find(name)?.build, with).0.writes?;
        let file = || path.render(stage, 0, SystemTime::UNIX_EPOCH).into();
        Some(if path.is_constant() { file() } else { path.folder(stage) })
    }

    /// The file that a stage of this name, with these parameters, wants to be replaced at the end of a good run.
    pub(crate) fn replaced(&self, stage: &str, name: &str, with: &Map<String, Value>) -> Option<PathBuf> {
        let entry = self.find(name)?;
        let path = run(entry.name, &entry.build, with).0.replaces?;
        Some(PathBuf::from(path.render(stage, 0, SystemTime::now())))
    }

    /// Whether the named stage needs a token: a piece of memory for all its workers.
    pub fn keeps_state(&self, name: &str, with: &Map<String, Value>) -> bool {
        self.memory(name, with) != Persistence::Nothing
    }

    /// Opens the named stage, in its worker.
    pub(crate) fn open(
        &self,
        name: &str,
        with: &Map<String, Value>,
        context: &Context,
    ) -> Result<Opened, Failure> {
        let entry = self.find(name).ok_or_else(|| Failure::fatal(unknown(name).message))?;
        let (findings, open) = run(entry.name, &entry.build, with);
        match findings.faults.first() {
            Some(fault) => Err(Failure::fatal(fault.message.clone())),
            None => open(context),
        }
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn boxed<B, O, S>(build: B) -> impl Fn(&mut Settings<'_>) -> Open + Send + Sync
where
    B: Fn(&mut Settings<'_>) -> O + Send + Sync + 'static,
    O: FnOnce(&Context) -> Result<S, Failure> + 'static,
    S: Stage + 'static,
{
    move |with| {
        let open = build(with);
        Box::new(move |context| Ok(Opened::Stage(Box::new(open(context)?))))
    }
}

fn run(name: &str, build: &dyn Fn(&mut Settings<'_>) -> Open, with: &Map<String, Value>) -> (Findings, Open) {
    let mut settings = Settings::new(name, with);
    let open = build(&mut settings);
    (settings.findings(), open)
}

fn unknown(name: &str) -> WithFault {
    WithFault { key: None, message: format!("there is no stage `{name}`"), help: None, within: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_built_in_documents_itself_and_its_keys() {
        let registry = Registry::builtin();
        for name in registry.names() {
            assert!(registry.about(name).ends_with('.'), "{name} says nothing about itself");
            for key in registry.keys(name) {
                assert!(key.doc.ends_with('.') && key.schema.is_object(), "{name}.{}", key.name);
            }
        }
    }

    #[test]
    fn a_position_is_kept_only_where_there_is_one() {
        let registry = Registry::builtin();
        let keeps = |name, with: Value| registry.keeps_state(name, with.as_object().unwrap());
        assert!(!keeps("random", json!({"max": 9})));
        assert!(keeps("random", json!({"max": 9, "seed": 1})));
        assert!(keeps("random", json!({"max": 9, "times": 3})));
        assert!(!keeps("repeat", json!({"text": "y"})));
        assert!(keeps("repeat", json!({"text": "y", "times": 3})));
        assert!(keeps("count", json!({})));
        assert!(keeps("file", json!({"path": "out"})));
        assert!(keeps("file", json!({"path": "out", "append": true})));
        assert!(!keeps("filter", json!({"keep": "even"})));
    }

    #[test]
    fn an_unknown_stage_is_said_to_be_unknown() {
        let faults = Registry::new().check("nope", &Map::new());
        assert_eq!(faults[0].message, "there is no stage `nope`");
    }
}
