//! All keys of all tables: where the key stands that a file has put into another one, or what does the work of a word that
//! other tools have.

use super::file::{DeadLetterKeys, MetricsKeys};
use super::{
    BackoffKeys, BrokerKeys, ControlKeys, FileKeys, GiveUpKeys, HealthKeys, JobLogKeys, LimitKeys,
    LogFileKeys, QueueKeys, ReadyKeys, RecycleKeys, RetryKeys, RouteKeys, StageKeys,
};
use crate::config::diagnostic::{UnknownKey, is_same_word, list};
use crate::config::elements::{Fields, Key};
use crate::stage::Registry;

/// A table and its keys.
pub(super) struct Place {
    called: &'static str,
    /// As it fits after "in".
    name: &'static str,
    reach: Reach,
    pub keys: Vec<Key>,
}

/// From where its keys are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// From every table.
    File,
    /// From the top of the file, from a stage, and from the small tables within one.
    Stage,
    /// From nowhere.
    Itself,
}

/// Words for which a table has no key, and what does their work there.
const OF_TABLE: [(&str, &[&str], &str); 2] = [
    (
        MetricsKeys::CALLED,
        &["enabled", "enable", "disabled", "active"],
        "metrics are served once there is a `listen`; without it, or without the table, they are not",
    ),
    (
        RouteKeys::CALLED,
        &["default", "else", "otherwise", "fallback"],
        "a rule without `when` holds for every item: `{ to = \"QUEUE\" }`, as the last one",
    ),
];

/// What mprun has no key for, or several.
const ADVICE: [(&[&str], &str); 4] = [
    (
        &["match", "if", "condition", "select"],
        "the built-in `filter` lets items through by `where` (a condition) or `matches` (a regular expression) in its `with`; the built-in \
         `route` sends them to queues by `when` in `routes`",
    ),
    (
        &["cpu", "cpus", "cpu_limit", "cpu_shares", "cpuquota"],
        "`nice` says who comes first, `cpu_time` in `limits` when a program has had enough; a share of the CPU is for \
         systemd to give (`CPUQuota=` of mprun's unit)",
    ),
    (
        &["timeout"],
        "`item_timeout` of a stage limits one item, `stop_timeout` the end of a process, `drain_timeout` at the top of \
         the file a stop of all",
    ),
    (
        &["image", "build"],
        "programs run as they are on this machine: `command` names one, which may be \
                          `docker run …`",
    ),
];

fn place<T: Fields>(name: &'static str, reach: Reach) -> Place {
    Place { called: T::CALLED, name, reach, keys: T::keys() }
}

pub(super) fn all() -> Vec<Place> {
    vec![
        place::<FileKeys>("", Reach::File),
        place::<StageKeys>("`[stages.NAME]`", Reach::File),
        place::<QueueKeys>("`[queues.NAME]`", Reach::File),
        place::<BrokerKeys>("`[broker]`", Reach::File),
        place::<ControlKeys>("`[control]`", Reach::File),
        place::<MetricsKeys>("`[metrics]`", Reach::File),
        place::<DeadLetterKeys>("`[dead_letters]`", Reach::File),
        place::<LimitKeys>("`limits`", Reach::Stage),
        place::<RetryKeys>("`retry`", Reach::Stage),
        place::<BackoffKeys>("`backoff`", Reach::Stage),
        place::<GiveUpKeys>("`give_up`", Reach::Stage),
        place::<RecycleKeys>("`recycle`", Reach::Stage),
        place::<ReadyKeys>("`ready`", Reach::Stage),
        place::<HealthKeys>("`health`", Reach::Stage),
        place::<LogFileKeys>("`log_file`", Reach::Stage),
        place::<JobLogKeys>("`joblog`", Reach::Stage),
        place::<RouteKeys>("a rule of `routes`", Reach::Itself),
    ]
}

/// What to do about a key that its table lacks, where that table alone can't say it.
pub(in crate::config) fn help_for(unknown: &UnknownKey, registry: &Registry) -> Option<String> {
    let places = all();
    let reach = places.iter().find(|place| place.called == unknown.table).map(|place| place.reach)?;
    let is_here =
        |(table, words, _): &&(&str, &[&str], &str)| *table == unknown.table && is_among(&unknown.key, words);
    if let Some((_, _, advice)) = OF_TABLE.iter().find(is_here) {
        return Some((*advice).to_owned());
    }
    let is_around = matches!(unknown.table, FileKeys::CALLED | StageKeys::CALLED) || reach == Reach::Stage;
    if reach == Reach::Itself {
        return None;
    }
    let uses = unknown.beside.uses.as_deref().filter(|uses| registry.kind(uses).is_some());
    if let Some(help) = uses.and_then(|uses| own_parameter(unknown, uses, registry)) {
        return Some(help);
    }
    if unknown.is_other_word {
        return None;
    }
    if let Some((_, advice)) = ADVICE.iter().find(|(words, _)| is_among(&unknown.key, words)) {
        return Some((*advice).to_owned());
    }
    let is_other = |place: &&Place| place.called != unknown.table;
    let of_file = || places.iter().filter(|place| place.reach == Reach::File).filter(is_other);
    let of_stage = || places.iter().filter(|place| place.reach == Reach::Stage && is_around).filter(is_other);
    let has_it = |place: &Place| place.stands(|key| is_same_word(key.name, &unknown.key));
    let mut stands: Vec<String> = of_file().filter_map(has_it).collect();
    if stands.is_empty() {
        stands = of_stage().filter_map(has_it).collect();
        if is_around && uses.is_none() && !unknown.beside.has_command {
            stands.extend(with_of_built_ins(&unknown.key, registry));
        }
    }
    match (stands.pop(), stands.is_empty()) {
        (None, _) if is_around => other_word(&unknown.key, of_file().chain(of_stage())),
        (None, _) => None,
        (Some(only), true) => Some(format!("`{}` stands {only}", unknown.key)),
        (Some(last), false) => Some(format!("`{}` stands {}, or {last}", unknown.key, stands.join(", "))),
    }
}

/// The key that people call so, if it is but one: what several tables may mean by a word is no help.
fn other_word<'a>(word: &str, places: impl Iterator<Item = &'a Place>) -> Option<String> {
    let meant = |place: &Place| {
        let key = place.keys.iter().find(|key| key.is_also(word))?.name;
        Some(format!("did you mean `{key}`, which stands {}?", place.stands(|own| own.name == key)?))
    };
    let mut meant = places.filter_map(meant);
    meant.next().filter(|_| meant.next().is_none())
}

impl Place {
    /// As it fits after "stands", if it has such a key.
    fn stands(&self, is_it: impl Fn(&Key) -> bool) -> Option<String> {
        let key = self.keys.iter().find(|key| is_it(key))?;
        Some(match (self.name, key.name) {
            ("", "stages" | "queues") => format!("at the top of the file, as `[{}.NAME]`", key.name),
            ("", name) if key.schema["type"] == "object" => format!("at the top of the file, as `[{name}]`"),
            ("", _) => "at the top of the file, above the first table".to_owned(),
            (table, _) => format!("in {table}"),
        })
    }
}

/// A parameter of the built-in that the stage uses, outside of `with`.
fn own_parameter(unknown: &UnknownKey, uses: &str, registry: &Registry) -> Option<String> {
    let name = registry.parameter_called(uses, &unknown.key)?;
    let value = unknown.value.as_ref()?;
    let with = [(name.to_owned(), value.clone())].into_iter().collect();
    // `to = "hits"` is no number to count to.
    if registry.check(uses, &with).iter().any(|fault| fault.key.as_deref() == Some(name)) {
        return None;
    }
    Some(match unknown.beside.has_with {
        true => format!("`{name}` is a parameter of `{uses}`: it stands in `with`"),
        false => {
            format!("`{name}` is a parameter of `{uses}`: write `with = {{ {name} = {} }}`", shown(value))
        }
    })
}

fn shown(value: &serde_json::Value) -> String {
    const MAX_CHARS: usize = 40;
    let text = value.to_string();
    let is_short = text.chars().count() <= MAX_CHARS && !value.is_object();
    if is_short { text } else { "…".to_owned() }
}

fn with_of_built_ins(key: &str, registry: &Registry) -> Option<String> {
    let takes = |uses: &&str| registry.keys(uses).iter().any(|parameter| is_same_word(parameter.name, key));
    let takers: Vec<&str> = registry.names().into_iter().filter(takes).collect();
    (!takers.is_empty()).then(|| format!("in `with` of {}", list(takers, "or")))
}

fn is_among(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| is_same_word(word, other))
}
