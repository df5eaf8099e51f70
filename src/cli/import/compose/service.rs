//! One service: which of its settings become which keys.

use super::super::draft::{Section, name_of, stage_names};
use super::super::give_up::{WITHIN, longer_within};
use super::super::input::read;
use super::dotenv;
use super::extends;
use super::health;
use super::variables::expanded;
use super::words;
use super::yaml::Value;
use crate::cli::toml_text::{command, list, piece, signal, table, text, unnumbered};
use crate::config::env_file;
use std::ffi::OsString;
use std::path::Path;

/// What becomes of a setting.
enum Fate {
    Key(&'static str, Convert),
    /// It is handled on its own, or says nothing to us.
    Nothing,
    LeftOut(&'static str),
}

/// `Ok(None)`: it is the default.
type Convert = fn(&Value) -> Result<Option<String>, String>;

/// Seconds from one restart to the next: of a run that is no good one, and of Docker's longest pause.
const LONGEST_TIME: u64 = 10 + 60;
const OF_CONTAINERS: &str = "it is about a container";
const OF_IMAGES: &str =
    "its programs must be on this machine; if it has an entrypoint, `command` has the arguments of that";

/// All others are about containers.
const SETTINGS: [(&str, Fate); 23] = [
    ("command", Fate::Nothing),
    ("entrypoint", Fate::Nothing),
    ("image", Fate::Nothing),
    ("build", Fate::Nothing),
    ("restart", Fate::Nothing),
    ("depends_on", Fate::Nothing),
    ("links", Fate::Nothing),
    ("deploy", Fate::Nothing),
    ("container_name", Fate::Nothing),
    ("environment", Fate::Nothing),
    ("env_file", Fate::Nothing),
    ("healthcheck", Fate::Nothing),
    ("stop_signal", Fate::Key("stop_signal", stop_signal)),
    ("stop_grace_period", Fate::Key("stop_timeout", plain)),
    ("scale", Fate::Key("processes", number)),
    ("profiles", Fate::Key("enabled", profiles)),
    ("ports", Fate::LeftOut("a program listens on its port itself")),
    ("expose", Fate::LeftOut("a program listens on its port itself")),
    ("volumes", Fate::LeftOut("a program sees the files of this machine")),
    ("working_dir", Fate::LeftOut("a folder of the image; `cwd` is the key")),
    ("user", Fate::LeftOut("a user of the image; `user` and `group` are the keys")),
    (
        "extends",
        Fate::LeftOut("that service stands in another file, or extends this one: write its keys here"),
    ),
    ("logging", Fate::LeftOut("`log_file` is the key; mprun's own log has all")),
];

/// All services of a file.
pub(super) struct Services<'a> {
    all: Vec<(String, Value)>,
    /// The names of their stages: two services may come to one name.
    stages: Vec<String>,
    /// That others wait for until they are healthy.
    awaited: Vec<String>,
    /// Of the file, if it has one.
    folder: Option<&'a Path>,
}

impl<'a> Services<'a> {
    pub(super) fn of(all: &[(String, Value)], folder: Option<&'a Path>) -> Services<'a> {
        let all = extends::merged(all);
        let needs =
            all.iter().flat_map(|(_, service)| service.get("depends_on").map_or(&[][..], Value::entries));
        let is_healthy =
            |value: &Value| value.get("condition").and_then(Value::text) == Some("service_healthy");
        let awaited = needs.filter(|(_, value)| is_healthy(value)).map(|(name, _)| name.clone()).collect();
        let stages = stage_names(all.iter().map(|(name, _)| name.as_str()));
        Services { all, stages, awaited, folder }
    }

    /// The stage of a service.
    fn stage_of(&self, service: &str) -> Option<&str> {
        let at = self.all.iter().position(|(name, _)| name == service)?;
        self.stages.get(at).map(String::as_str)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.all.iter().map(|(name, service)| (name.as_str(), service))
    }

    pub(super) fn stage(&self, name: &str, service: &Value) -> Section {
        let mut stage = Section::default();
        run(name, service, &mut stage);
        let mut variables = service.get("environment").map_or(Vec::new(), environment);
        let files = match service.get("env_file") {
            Some(value) => self.env_files(value, &mut variables, &mut stage),
            None => Vec::new(),
        };
        stage.set_env(variables, "environment");
        match files.as_slice() {
            [] => {}
            [only] => stage.set("env_file", text(only), "env_file"),
            several => stage.set("env_file", list(several.iter().map(String::as_str)), "env_file"),
        }
        for (key, value) in service.entries() {
            let from = format!("{key}: {}", value.shown());
            let fate = SETTINGS.iter().find(|(own, _)| own == key).map(|(_, fate)| fate);
            match fate {
                Some(Fate::Nothing) => {}
                Some(Fate::LeftOut(why)) => stage.leave_out(&from, why),
                None if key.starts_with("x-") => {}
                None => stage.leave_out(&from, OF_CONTAINERS),
                Some(Fate::Key(key, _)) if stage.has(key) => {}
                Some(Fate::Key(key, convert)) => match convert(value) {
                    Ok(Some(value)) => stage.set(key, value, &from),
                    Ok(None) => {}
                    Err(why) => stage.leave_out(&from, &why),
                },
            }
        }
        health(service, &mut stage);
        self.order(name, service, &mut stage);
        restart(service, &mut stage);
        deploy(service.get("deploy").unwrap_or(&Value::Null), &mut stage);
        if has_no_replicas(service) && !stage.has("enabled") {
            stage.set("enabled", "false", "replicas: 0");
        }
        stage
    }

    /// What it waits for, as far as that can be run here.
    fn order(&self, name: &str, service: &Value, stage: &mut Section) {
        let needs = service.get("depends_on").unwrap_or(&Value::Null);
        let mut names: Vec<&str> = match needs.entries() {
            [] => needs.texts(),
            entries => entries.iter().map(|(name, _)| name.as_str()).collect(),
        };
        // `links` also starts the other service first.
        for link in service.get("links").map_or(Vec::new(), Value::texts) {
            let linked = link.split(':').next().unwrap_or(link);
            if !names.contains(&linked) {
                names.push(linked);
            }
        }
        let runs = |name: &&str| self.all.iter().any(|(own, service)| own == name && is_runnable(service));
        let (here, elsewhere): (Vec<&str>, Vec<&str>) = names.into_iter().partition(runs);
        if !elsewhere.is_empty() {
            let from = format!("depends_on: {}", elsewhere.join(", "));
            stage.leave_out(&from, "`after` names stages that run");
        }
        if !here.is_empty() {
            let names: Vec<&str> = here.iter().filter_map(|name| self.stage_of(name)).collect();
            let from = format!("depends_on: {}", here.join(", "));
            stage.set("after", list(names), &from);
        }
        let has_check = |name: &str| {
            self.all.iter().any(|(own, service)| own == name && service.get("healthcheck").is_some())
        };
        for (name, need) in needs.entries() {
            let waits = need.get("condition").and_then(Value::text) == Some("service_healthy");
            if waits && here.contains(&name.as_str()) {
                let from = format!("depends_on: {name}: service_healthy");
                let why = match has_check(name) {
                    true => "if that stage gives up, this one is started all the same",
                    false => "its check is the image's own: give that stage a `ready`",
                };
                stage.leave_out(&from, why);
            }
        }
        let restarts =
            |(_, need): &&(String, Value)| need.get("restart").and_then(Value::text) == Some("true");
        for (name, _) in needs.entries().iter().filter(restarts) {
            let from = format!("depends_on: {name}: restart: true");
            stage.leave_out(&from, "`after` orders first starts: a restart leaves the others alone");
        }
        let ends = |(_, need): &&(String, Value)| {
            need.get("condition").and_then(Value::text) == Some("service_completed_successfully")
        };
        for (name, _) in needs.entries().iter().filter(ends) {
            let from = format!("depends_on: {name}: service_completed_successfully");
            stage.leave_out(
                &from,
                "`after` does not wait for an end: run it first, or join the two commands by `&&`",
            );
        }
        self.ready(name, service, stage);
    }

    /// A stage's files of variables must be there. What Compose reads there in another way than mprun is written out, unless
    /// `variables`, which go before it, say the same name.
    fn env_files(&self, value: &Value, variables: &mut Vec<Variable>, stage: &mut Section) -> Vec<String> {
        let entries: Vec<&Value> = match value {
            Value::List(values) => values.iter().collect(),
            other => vec![other],
        };
        let mut files = Vec::new();
        for entry in entries {
            let Some(path) = entry.text().or_else(|| entry.get("path")?.text()) else { continue };
            let from = format!("env_file: {path}");
            let may_lack = entry.get("required").and_then(Value::text) == Some("false");
            let is_there = self.folder.is_some_and(|folder| folder.join(path).is_file());
            match expanded(path) {
                Ok(_) if may_lack && !is_there => {
                    stage
                        .leave_out(&from, "required: false, and it is not there; here an `env_file` must be");
                }
                Ok(_) if is_there => match self.read_there(path, variables, stage) {
                    Ok(()) => files.push(path.to_owned()),
                    Err(why) => stage.leave_out(&from, &why),
                },
                Ok(path) => files.push(path),
                Err(why) => stage.leave_out(&from, &why),
            }
        }
        files
    }

    /// `Err`: mprun can't read the file at all; all that may be written of it is then among `variables`.
    fn read_there(
        &self,
        path: &str,
        variables: &mut Vec<Variable>,
        stage: &mut Section,
    ) -> Result<(), String> {
        let Some(folder) = self.folder else { return Ok(()) };
        let text = read(&folder.join(path)).map_err(|failure| failure.to_string())?;
        let (ours, fault) = match env_file::parse(text.as_bytes()) {
            Ok(ours) => (ours, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        let plain = |text: &OsString| text.to_string_lossy().into_owned();
        let ours: Vec<_> = ours.iter().map(|(name, value)| (plain(name), plain(value))).collect();
        let differing = dotenv::differing(&text, &ours).map_err(|why| format!("{path}, {why}"))?;
        for (name, value) in differing {
            if variables.iter().any(|(own, _)| *own == name) {
                continue;
            }
            match value {
                Some(value) => variables.push((name, Ok(piece(&value)))),
                None => stage.leave_out(
                    &format!("{path}: {name}"),
                    "Compose and mprun read its line in different ways, and its value may be a secret or is not known: \
                     write that line as for systemd's EnvironmentFile=",
                ),
            }
        }
        fault.map_or(Ok(()), |fault| {
            Err(format!("mprun does not read its line {}: {}", fault.line, fault.why))
        })
    }

    fn ready(&self, name: &str, service: &Value, stage: &mut Section) {
        let Some(check) = service.get("healthcheck") else { return };
        for (key, value) in check.entries().iter().filter(|(key, _)| !health::KNOWN.contains(&key.as_str())) {
            stage.leave_out(&format!("healthcheck: {key}: {}", value.shown()), "a check has no such key");
        }
        let from = match health::start_period(check) {
            _ if self.awaited.iter().any(|awaited| awaited == name) => {
                "condition: service_healthy".to_owned()
            }
            Some(time) => format!("start_period: {time}"),
            None => return,
        };
        match health::ready(check) {
            None => {}
            Some(Ok(ready)) => {
                stage.set("ready", ready, &from);
                let unknown = health::unknown_times(check);
                if !unknown.is_empty() {
                    let why =
                        "not known before a run: the `timeout` of `ready` is reckoned with Docker's default";
                    stage.leave_out(&format!("healthcheck: {}", unknown.join(", ")), why);
                }
            }
            Some(Err(why)) => stage.leave_out(&from, &why),
        }
    }
}

/// Its program, as far as the file knows it.
fn run(name: &str, service: &Value, stage: &mut Section) {
    let image =
        ["image", "build"].iter().find_map(|key| Some(format!("{key}: {}", service.get(key)?.shown())));
    match all_words(service) {
        Ok(words) if names_program(&words) => {
            image.iter().for_each(|image| stage.leave_out(image, OF_IMAGES));
            stage.set("command", command(words.iter().map(String::as_str)), "command");
        }
        other => {
            let why = other.err().unwrap_or_else(|| {
                "the program is the image's own, which this file does not name".to_owned()
            });
            stage.leave_out(&image.unwrap_or_else(|| "command".to_owned()), &why);
            let missing = format!("echo 'say here what {} runs' >&2; exit 1", name_of(name));
            stage.set("command", text(&missing), "");
            stage.set("enabled", "false", "");
        }
    }
}

/// Whether its stage is on.
fn is_runnable(service: &Value) -> bool {
    let is_on = service.get("profiles").is_none() && !has_no_replicas(service);
    is_on && all_words(service).is_ok_and(|words| names_program(&words))
}

/// Words that begin with an option are those of the image's own program.
fn names_program(words: &[String]) -> bool {
    words.first().is_some_and(|word| !word.starts_with('-'))
}

fn all_words(service: &Value) -> Result<Vec<String>, String> {
    let mut words = words_of(service.get("entrypoint"))?;
    words.extend(words_of(service.get("command"))?);
    Ok(words)
}

/// A service of no containers.
fn has_no_replicas(service: &Value) -> bool {
    let replicas = service.get("deploy").and_then(|deploy| deploy.get("replicas"));
    replicas.or_else(|| service.get("scale")).and_then(Value::text) == Some("0")
}

/// A text is split as Compose does, and is given to no shell.
fn words_of(value: Option<&Value>) -> Result<Vec<String>, String> {
    let words = match value {
        Some(Value::Text(line)) => words::of(line)?,
        Some(value) => value.texts().into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    words.iter().map(|word| expanded(word).map(|word| unnumbered(&word))).collect()
}

/// A name, and its value or why there is none.
type Variable = (String, Result<String, String>);

fn environment(value: &Value) -> Vec<Variable> {
    let pairs: Vec<(&str, &str)> = match value {
        // Without a value it comes from outside, as here every variable does.
        Value::Map(entries) => {
            entries.iter().filter_map(|(name, value)| Some((name.as_str(), value.text()?))).collect()
        }
        list => list.texts().iter().filter_map(|text| text.split_once('=')).collect(),
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), expanded(value))).collect()
}

/// Docker marks an unhealthy container and lets it run; `health` ends a service, for `restart` to start it again. A service
/// with `restart = "never"` would end for good.
fn health(service: &Value, stage: &mut Section) {
    let Some(check) = service.get("healthcheck") else { return };
    let from = format!("healthcheck: {}", check.shown());
    match health::health(check) {
        None => {}
        Some(Ok(_)) if policy(service).1 == "never" => stage.leave_out(
            &from,
            "`health` ends what is unhealthy, and restart = \"never\" starts it no more: set both if you want it restarted",
        ),
        Some(Ok(value)) => {
            stage.set("health", value, &from);
            for time in health::bad_times(check) {
                stage.leave_out(&format!("healthcheck: {time}"), "it is no time");
            }
        }
        Some(Err(why)) => stage.leave_out(&from, &why),
    }
}

fn stop_signal(value: &Value) -> Result<Option<String>, String> {
    Ok(signal(value.text().unwrap_or_default()))
}

fn plain(value: &Value) -> Result<Option<String>, String> {
    value.text().map(|value| expanded(value).map(|value| text(&value))).transpose()
}

/// A number, or a text with a variable that is one.
fn number(value: &Value) -> Result<Option<String>, String> {
    let number = value.text().unwrap_or_default();
    match number.parse::<u32>() {
        Ok(0 | 1) => Ok(None), // none of them: the stage is off
        Ok(number) => Ok(Some(number.to_string())),
        Err(_) => plain(value),
    }
}

fn profiles(_: &Value) -> Result<Option<String>, String> {
    Ok(Some("false".to_owned()))
}

/// Without one of the two, a container is not started again.
/// Where it stands, our word for it, and how often, if it says so.
fn policy(service: &Value) -> (String, &'static str, &str) {
    let policy = service.get("deploy").and_then(|deploy| deploy.get("restart_policy"));
    let (from, word) = match (service.get("restart").and_then(Value::text), policy) {
        (_, Some(policy)) => {
            let condition = policy.get("condition").and_then(Value::text).unwrap_or("any");
            (format!("restart_policy: {}", policy.shown()), condition)
        }
        (Some(word), None) => (format!("restart: {word}"), word),
        (None, None) => ("restart: no".to_owned(), "no"),
    };
    let (kind, most) = word.split_once(':').unwrap_or((word, ""));
    let kind = match kind {
        "always" | "unless-stopped" | "any" => "always",
        "on-failure" => "on-failure",
        _ => "never",
    };
    (from, kind, most)
}

fn restart(service: &Value, stage: &mut Section) {
    let (from, kind, most) = policy(service);
    stage.set("restart", text(kind), &from);
    let policy =
        service.get("deploy").and_then(|deploy| deploy.get("restart_policy")).unwrap_or(&Value::Null);
    let of = |key: &str| policy.get(key).and_then(Value::text);
    // 0 is no bound.
    let most = of("max_attempts").or(Some(most)).filter(|most| !most.is_empty() && *most != "0");
    let within = most.map(|most| {
        let restarts = most.parse().unwrap_or(0);
        longer_within(restarts, LONGEST_TIME).unwrap_or_else(|| text(WITHIN))
    });
    let within = of("window").map(text).or(within);
    let pairs = [("restarts", most.map(str::to_owned)), ("within", within)];
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    if !pairs.is_empty() {
        stage.set("give_up", table(pairs), &from);
    }
    if let Some(delay) = of("delay") {
        // It does not grow there.
        stage.set("backoff", table([("initial", text(delay)), ("max", text(delay))]), &from);
    }
}

/// What is left of `deploy`.
fn deploy(value: &Value, stage: &mut Section) {
    for (key, value) in value.entries() {
        let from = format!("deploy: {key}: {}", value.shown());
        match (key.as_str(), number(value)) {
            ("replicas", Ok(Some(number))) if !stage.has("processes") => {
                stage.set("processes", number, &from)
            }
            ("replicas", Ok(_)) | ("restart_policy", _) => {}
            ("resources", _) => stage.leave_out(&from, "`limits` has other bounds, of each process"),
            _ => stage.leave_out(&from, OF_CONTAINERS),
        }
    }
}
