//! The parameters of a stage (`with = {…}`): each is declared once, where it is read, and that one line gives its
//! parser, its messages, its documentation and its part of the JSON schema.

mod key;
mod kinds;

pub use key::Key;
pub use kinds::Setting;

use super::path_template::PathTemplate;
use serde_json::{Map, Value};
use std::ops::Range;

/// One parameter, for messages, documentation and the JSON schema.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyDoc {
    /// As it is written in `with`.
    pub name: &'static str,
    /// JSON schema of its value, default included.
    pub schema: Value,
    /// One sentence.
    pub doc: &'static str,
    /// Whether it must be given.
    pub required: bool,
}

/// Something wrong in `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithFault {
    /// The parameter it is about; none: the stage as a whole.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that can be said.
    pub help: Option<String>,
    /// The bytes of the parameter's text that it is about; none: all of it.
    pub within: Option<Range<usize>>,
}

/// What a stage remembers beyond the life of one worker: one piece of memory for all workers of the stage, kept in a
/// queue of its own, so that it changes in the same step as the queues do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Persistence {
    /// Nothing: all workers run side by side.
    #[default]
    Nothing,
    /// That [`Stage::begin_run`](super::Stage::begin_run) was done, for the thing that `save` names. All workers run
    /// side by side after it.
    Once,
    /// A state or position, saved with every step. The workers take turns, step by step.
    State,
    /// What counts of a file outside. The workers process items side by side, and take turns to write: between
    /// [`Stage::begin_turn`](super::Stage::begin_turn) and the end of the items' leases no other one does.
    Turns,
}

/// Reads the parameters of one stage.
///
/// Ask for every key, always, whatever the others say: asking is what declares it.
///
/// ```
/// use mprun::{Registry, Stage, Emitter, Failure, Item};
/// # use serde_json::json;
/// struct Repeat { times: u64 }
/// # impl Stage for Repeat {
/// #     fn process(&mut self, _: &Item<'_>, _: &mut Emitter<'_>) -> Result<(), Failure> { Ok(()) }
/// # }
/// let registry = Registry::new().stage("echo", |with| {
///     with.about("Emits each item several times.");
///     let times = with.key("times", "How often.").at_least(1).or(2);
///     move |_| Ok(Repeat { times })
/// });
/// let faults = registry.check("echo", json!({ "time": 3 }).as_object().unwrap());
/// assert_eq!(faults[0].help.as_deref(), Some("did you mean `times`?"));
/// ```
pub struct Settings<'a> {
    uses: &'a str,
    with: &'a Map<String, Value>,
    found: Findings,
}

/// What a builder declared and found: the stage's properties with these parameters.
#[derive(Default)]
pub(super) struct Findings {
    pub about: &'static str,
    pub keys: Vec<KeyDoc>,
    pub faults: Vec<WithFault>,
    pub memory: Persistence,
    /// It is a source that comes to an end.
    pub ends: bool,
    /// It reads mprun's standard input.
    pub reads_stdin: bool,
    /// No line end follows what it prints.
    pub prints_as_it_is: bool,
    /// What it reads or writes outside is another thing on another machine.
    pub stays: bool,
    /// The files that it needs at its start: a path or a pattern.
    pub input_files: Option<String>,
    /// The file that it writes.
    pub writes: Option<PathTemplate>,
    /// It asks the certificate authorities of this machine whom to trust.
    pub needs_authorities: bool,
    /// The file that the run is to replace at its end.
    pub replaces: Option<PathTemplate>,
    /// It sends items by `routes`.
    pub takes_routes: bool,
    /// A parameter that may name one more output, and the words in it that name none.
    pub output_key: Option<(&'static str, &'static [&'static str])>,
}

/// Other words for parameters.
const ALSO: [(&str, &str); 26] = [
    ("file", "path"),
    ("filename", "path"),
    ("files", "path"),
    ("tail", "follow"),
    ("watch", "follow"),
    ("address", "url"),
    ("uri", "url"),
    ("endpoint", "url"),
    ("verb", "method"),
    ("batch", "max_items"),
    ("batch_size", "max_items"),
    ("batch", "size"),
    ("count", "size"),
    ("n", "size"),
    ("count", "times"),
    ("n", "times"),
    ("to", "max"),
    ("start", "from"),
    ("by", "step"),
    ("interval", "every"),
    ("if", "where"),
    ("condition", "where"),
    ("regex", "matches"),
    ("regex", "pattern"),
    ("values", "items"),
    ("format", "template"),
];

/// The parameter of this name, or that people call so.
pub(super) fn called(word: &str, keys: &[KeyDoc]) -> Option<&'static str> {
    let also = ALSO.iter().filter(|(other, _)| *other == word).map(|(_, name)| *name);
    let mut names = std::iter::once(word).chain(also);
    names.find_map(|name| keys.iter().find(|key| key.name == name)).map(|key| key.name)
}

impl<'a> Settings<'a> {
    pub(super) fn new(uses: &'a str, with: &'a Map<String, Value>) -> Settings<'a> {
        Settings { uses, with, found: Findings::default() }
    }

    /// One sentence on what the stage does, for the schema and the documentation.
    pub fn about(&mut self, sentence: &'static str) {
        self.found.about = sentence;
    }

    /// Says what the stage remembers with these parameters.
    pub fn remember(&mut self, memory: Persistence) {
        self.found.memory = memory;
    }

    /// Says whether a source comes to an end with these parameters: then `mprun run` shows its progress.
    pub fn ends(&mut self, ends: bool) {
        self.found.ends = ends;
    }

    /// Says that the stage reads mprun's standard input, of which its workers get a share that outlives them.
    pub(crate) fn reads_stdin(&mut self) {
        (self.found.reads_stdin, self.found.stays) = (true, true);
    }

    /// A file: whether its path means the same on every machine. For stages that move between machines.
    pub(crate) fn path_of_machine(&mut self) {
        let doc = "The path is the same file on every machine, such as one on network storage. For a stage with `machines = \"one\"`.";
        let is_shared = self.key("path_is_shared", doc).or(false);
        self.found.stays = !is_shared;
    }

    /// Says that no line end is to follow what the stage prints.
    pub(crate) fn prints_as_it_is(&mut self) {
        self.found.prints_as_it_is = true;
    }

    /// Says which files have to be there when the stage starts: a path, or a pattern for several.
    pub(crate) fn needs_files(&mut self, pattern: &str) {
        self.found.input_files = Some(pattern.to_owned());
    }

    /// Says which file the stage writes.
    pub(crate) fn writes(&mut self, path: PathTemplate) {
        self.found.writes = Some(path);
    }

    /// Says that the stage asks the certificate authorities of this machine whom to trust.
    pub(crate) fn needs_authorities(&mut self) {
        self.found.needs_authorities = true;
    }

    /// Says which file the run is to put in the place of an older one once it has gone well.
    pub(crate) fn replaces(&mut self, path: PathTemplate) {
        self.found.replaces = Some(path);
    }

    /// Says that the stage sends each item where the `routes` of the pipeline file say.
    pub(crate) fn takes_routes(&mut self) {
        self.found.takes_routes = true;
    }

    /// Says that a text parameter names an output of the stage that gets some items only, unless it is one of these words.
    pub(crate) fn names_output(&mut self, key: &'static str, words: &'static [&'static str]) {
        self.found.output_key = Some((key, words));
    }

    /// Reports something that is wrong with a parameter in the light of the others.
    pub fn fault(&mut self, key: &'static str, message: impl Into<String>, help: Option<String>) {
        let key = self.with.contains_key(key).then(|| key.to_owned());
        self.found.faults.push(WithFault { key, message: message.into(), help, within: None });
    }

    /// Reports something that is wrong in the text of a parameter, at these bytes of it.
    pub(crate) fn fault_within(
        &mut self,
        key: &'static str,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        let key = Some(key.to_owned());
        self.found.faults.push(WithFault { key, message, help, within: Some(place) });
    }

    /// True if what was read so far is good: else the values may be placeholders, and a check across several would
    /// report a fault twice.
    pub fn is_good(&self) -> bool {
        self.found.faults.is_empty()
    }

    pub(super) fn findings(mut self) -> Findings {
        self.report_unknown();
        self.found
    }

    fn report_unknown(&mut self) {
        for name in self.with.keys() {
            if !self.found.keys.iter().any(|key| key.name == name) {
                let message = format!("`{}` has no parameter `{name}`", self.uses);
                self.found.faults.push(WithFault {
                    key: Some(name.clone()),
                    message,
                    help: Some(self.instead_of(name)),
                    within: None,
                });
            }
        }
    }

    fn instead_of(&self, unknown: &str) -> String {
        if let Some(name) = called(unknown, &self.found.keys) {
            return format!("did you mean `{name}`?");
        }
        let near = |key: &&KeyDoc| strsim::jaro_winkler(key.name, unknown);
        let nearest = self.found.keys.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        match nearest {
            Some(key) if near(&key) > 0.75 => format!("did you mean `{}`?", key.name),
            Some(_) => {
                let names: Vec<_> = self.found.keys.iter().map(|key| format!("`{}`", key.name)).collect();
                format!("it takes {}", names.join(", "))
            }
            None => "it takes no parameters".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn read(with: Value) -> (i64, Option<Duration>, Findings) {
        let with = with.as_object().unwrap().clone();
        let mut settings = Settings::new("demo", &with);
        let size = settings.key("size", "How large.").required();
        let every = settings.key("every", "How often.").optional();
        (size, every, settings.findings())
    }

    #[test]
    fn good_values_are_read() {
        let (size, every, findings) = read(json!({"size": -3, "every": "1m30s"}));
        assert_eq!((size, every), (-3, Some(Duration::from_secs(90))));
        assert_eq!(findings.faults, []);
    }

    #[test]
    fn every_fault_is_reported_in_one_go() {
        let (_, _, findings) = read(json!({"sise": 1, "every": "10", "zzz": 1}));
        let messages: Vec<_> = findings.faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert_eq!(messages[0], "`demo` needs the parameter `size`");
        assert!(messages[1].starts_with("`every` takes a duration with its unit"), "{}", messages[1]);
        assert_eq!(messages[2], "`demo` has no parameter `sise`");
        assert_eq!(findings.faults[2].help.as_deref(), Some("did you mean `size`?"));
        assert_eq!(findings.faults[3].help.as_deref(), Some("it takes `size`, `every`"));
        let (_, _, findings) = read(json!({"size": 1, "interval": "1s"}));
        assert_eq!(findings.faults[0].help.as_deref(), Some("did you mean `every`?"));
    }

    #[test]
    fn what_is_read_is_documented() {
        let (_, _, findings) = read(json!({}));
        assert_eq!(findings.keys[0].name, "size");
        assert!(findings.keys[0].required && !findings.keys[1].required);
        assert_eq!(findings.keys[0].schema["type"], "integer");
        assert_eq!(findings.keys[0].schema["description"], "How large.");
    }
}
