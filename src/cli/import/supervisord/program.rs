//! One program: which of its settings become which keys.

use super::super::draft::Section;
use super::super::give_up::{NEVER, longer_within};
use super::ini::Block;
use super::values::{Names, pairs, size};
use super::words;
use crate::cli::toml_text::{command, list, seconds, signal, table, text};

/// What becomes of a setting.
enum Fate {
    /// This key.
    Key(&'static str, Convert),
    /// It says what holds anyway, or belongs to one that is handled on its own.
    Nothing,
    LeftOut(&'static str),
}

/// Seconds of the longest pause before a restart, where `backoff` has no `max`.
const LONGEST_PAUSE: u64 = 30;

/// `Ok(None)`: it is the default.
type Convert = fn(&Names<'_>, &str) -> Result<Option<String>, String>;

/// All settings of a program. Keys that a version of mprun lacks become comments.
const SETTINGS: [(&str, Fate); 33] = [
    ("command", Fate::Nothing),
    ("numprocs", Fate::Key("processes", number)),
    ("directory", Fate::Key("cwd", path)),
    ("umask", Fate::Key("umask", expanded)),
    ("user", Fate::Key("user", expanded)),
    ("environment", Fate::Nothing),
    ("autostart", Fate::Key("autostart", autostart)),
    ("autorestart", Fate::Key("restart", autorestart)),
    ("exitcodes", Fate::Key("success_codes", codes)),
    ("startsecs", Fate::Nothing),
    ("startretries", Fate::Nothing),
    ("stopsignal", Fate::Key("stop_signal", stopsignal)),
    ("stopwaitsecs", Fate::Key("stop_timeout", stopwaitsecs)),
    ("stopasgroup", Fate::Nothing),
    ("killasgroup", Fate::Nothing),
    ("redirect_stderr", Fate::Nothing),
    ("stdout_logfile", Fate::Nothing),
    ("stdout_logfile_maxbytes", Fate::Nothing),
    ("stdout_logfile_backups", Fate::Nothing),
    ("stderr_logfile", Fate::Nothing),
    ("stderr_logfile_maxbytes", Fate::Nothing),
    ("stderr_logfile_backups", Fate::Nothing),
    ("process_name", Fate::Nothing),
    ("priority", Fate::LeftOut("all stages start at once")),
    ("numprocs_start", Fate::Nothing),
    ("serverurl", Fate::LeftOut("mprun's control socket speaks another protocol")),
    ("stdout_events_enabled", Fate::LeftOut("there are no events")),
    ("stderr_events_enabled", Fate::LeftOut("there are no events")),
    ("stdout_capture_maxbytes", Fate::LeftOut("there are no events")),
    ("stderr_capture_maxbytes", Fate::LeftOut("there are no events")),
    ("stdout_syslog", Fate::LeftOut("under systemd mprun's log goes to the journal: `stdout = \"log\"`")),
    ("stderr_syslog", Fate::LeftOut("under systemd mprun's log goes to the journal, and this with it")),
    ("socket", Fate::LeftOut("a program gets no socket from mprun")),
];

/// The stage of a program.
pub(super) fn stage(block: &Block, names: &Names<'_>) -> Section {
    let mut stage = Section::default();
    run(block, names, &mut stage);
    if let Some(value) = block.get("environment") {
        environment(names, value, &mut stage);
    }
    for (key, value) in &block.keys {
        let from = format!("{key}={value}");
        let fate = SETTINGS.iter().find(|(own, _)| own == key).map(|(_, fate)| fate);
        match fate {
            Some(Fate::Nothing) => {}
            Some(Fate::LeftOut(why)) => stage.leave_out(&from, why),
            Some(Fate::Key(key, convert)) => match convert(names, value) {
                Ok(Some(value)) => stage.set(key, value, &from),
                Ok(None) => {}
                Err(why) => stage.leave_out(&from, &why),
            },
            None => stage.leave_out(&from, "this setting is not known here"),
        }
    }
    starts(block, &mut stage);
    logs(block, names, &mut stage);
    stage
}

/// Its words are those that supervisord takes, and none is expanded by a shell.
fn run(block: &Block, names: &Names<'_>, stage: &mut Section) {
    let written = block.get("command").unwrap_or_default();
    let from = format!("command={written}");
    let words = words::of(&with_marks(written)).map_err(str::to_owned).and_then(|words| {
        let words = words.iter().map(|word| names.expand(word, Some("{worker}")));
        words.collect::<Result<Vec<String>, String>>()
    });
    if names.processes > 10 && written.contains("%(process_num)0") {
        stage.leave_out(&from, "its zeros: {worker} has none in front");
    }
    match words {
        Ok(words) if words.iter().any(|word| marked(word).is_some()) => {
            stage.note(
                "The value of a variable that is a word by itself is split at its blanks, as supervisord does: by a shell. Quotes in it \
                 mean nothing here.",
            );
            let words = split_by_shell(&words);
            stage.set("command", command(words.iter().map(String::as_str)), &from);
        }
        Ok(words) if !words.is_empty() => {
            let words = words.iter().map(|word| word.replace(MARK, "")).collect();
            let words = beside_folder(words, block, names);
            stage.set("command", command(words.iter().map(String::as_str)), &from);
        }
        Ok(_) => missing(stage, "command= (it is empty)"),
        Err(why) => missing(stage, &format!("{from} ({why})")),
    }
}

/// Behind a variable with nothing beside it but blanks.
const MARK: char = '\u{1}';

/// supervisord puts the value of a variable in before it splits the words, so one without quotes may come to several.
fn with_marks(written: &str) -> String {
    let is_variable = |word: &str| {
        let name = word.strip_prefix("%(ENV_").and_then(|word| word.strip_suffix(")s"));
        name.is_some_and(|name| !name.contains(')'))
    };
    let mut made = String::new();
    for part in written.split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        made += word;
        made.extend(is_variable(word).then_some(MARK));
        made += &part[word.len()..];
    }
    made
}

/// A word that is one variable with its mark: without that. Between quotes, too, a mark may stand, beside other text.
fn marked(word: &str) -> Option<&str> {
    word.strip_suffix(MARK).filter(|word| word.starts_with("${") && word.find('}') == Some(word.len() - 1))
}

/// A shell that splits what is marked. Values are its arguments, so none is read as code; with `-f` none is a pattern of file names.
fn split_by_shell(words: &[String]) -> Vec<String> {
    let (mut line, mut values) = ("exec".to_owned(), Vec::new());
    for word in words {
        let plain = word.replace(MARK, "");
        if !plain.contains("${") {
            line = format!("{line} {}", shlex::try_quote(&plain).unwrap_or_default());
            continue;
        }
        values.push(plain);
        let name = match values.len() {
            number @ 1..=9 => format!("${number}"),
            number => format!("$${{{number}}}"),
        };
        line = if marked(word).is_some() { format!("{line} {name}") } else { format!("{line} \"{name}\"") };
    }
    let shell = ["sh", "-fc", &line, "sh"].map(str::to_owned);
    shell.into_iter().chain(values).collect()
}

fn missing(stage: &mut Section, why: &str) {
    stage.note(&format!("not carried over: {why}. What is to be run?"));
    stage.set("command", list(["false"]), "");
    stage.set("enabled", "false", "");
}

/// A path of a program starts at the file's folder here, and where the program runs there.
fn beside_folder(mut words: Vec<String>, block: &Block, names: &Names<'_>) -> Vec<String> {
    let is_relative = words[0].contains('/') && !words[0].starts_with(['/', '$']);
    if let (true, Some(folder)) = (is_relative, block.get("directory"))
        && let Ok(folder) = names.path(folder)
    {
        words[0] = format!("{}/{}", folder.trim_end_matches('/'), words[0].trim_start_matches("./"));
    }
    words
}

/// A run shorter than `startsecs` is a start that failed, and `startretries` of them in a row are tried again.
fn starts(block: &Block, stage: &mut Section) {
    let (seconds, retries) = (number_of("startsecs", block, stage), number_of("startretries", block, stage));
    let is_started_once = block.get("autorestart").is_some_and(|value| yes_or_no(value) == Ok(false));
    match &seconds {
        Some((0, _)) if is_started_once => return,
        Some((0, from)) => {
            stage.note(
                "startsecs=0: each run is a good one there, however short, so it never gives up, and starts again at once. \
                 Here it starts again after a second at most, and no program comes to a million restarts in a minute.",
            );
            stage.set("backoff", table([("max", text("1s"))]), from);
            return stage.set(
                "give_up",
                table([("restarts", NEVER.to_owned()), ("within", text("1m"))]),
                from,
            );
        }
        Some((seconds, from)) => {
            stage.set("backoff", table([("reset_after", text(&format!("{seconds}s")))]), from);
        }
        None => {}
    }
    if let Some((retries, from)) = retries {
        let mut pairs = vec![("restarts", retries.to_string())];
        let longest = seconds.map_or(1, |(seconds, _)| seconds).saturating_add(LONGEST_PAUSE);
        pairs.extend(longer_within(retries, longest).map(|within| ("within", within)));
        stage.set("give_up", table(pairs), &from);
    }
}

/// A setting that is a whole number, and where it comes from.
fn number_of(name: &str, block: &Block, stage: &mut Section) -> Option<(u64, String)> {
    let value = block.get(name)?;
    let from = format!("{name}={value}");
    match value.trim().parse() {
        Ok(number) => Some((number, from)),
        Err(_) => {
            stage.leave_out(&from, "no number");
            None
        }
    }
}

/// Where its output goes: one file for each stage.
fn logs(block: &Block, names: &Names<'_>, stage: &mut Section) {
    let is_set = |file: &&str| !file.is_empty() && !file.eq_ignore_ascii_case("AUTO");
    let stdout = block.get("stdout_logfile").filter(is_set);
    let stderr = block.get("stderr_logfile").filter(is_set);
    let from = format!("stdout_logfile={}", stdout.unwrap_or_default());
    match stdout {
        None => {}
        Some(file) if is_nowhere(file) => stage.set("stdout", text("null"), &from),
        Some(file) if is_stream(file, "out", '1') => {}
        Some("syslog") => stage.set("stdout", text("log"), &from),
        Some(file) => {
            stage.set("stdout", text("log"), &from);
            if !is_stream(file, "err", '2') {
                log_file(block, names, ("stdout", file), stage);
            }
        }
    }
    match stderr {
        Some(file) if is_nowhere(file) || file == "syslog" || is_stream(file, "err", '2') => {}
        Some(file) if Some(file) == stdout => {}
        Some(file) if stage.has("log_file") => {
            stage.leave_out(&format!("stderr_logfile={file}"), "a stage has one log file");
        }
        Some(file) => log_file(block, names, ("stderr", file), stage),
        None => {}
    }
}

fn is_nowhere(file: &str) -> bool {
    file.eq_ignore_ascii_case("NONE") || file == "/dev/null"
}

/// `number`: its descriptor, also that of the first process of a container.
fn is_stream(file: &str, name: &str, number: char) -> bool {
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/1/fd"];
    file == format!("/dev/std{name}") || folders.iter().any(|folder| file == format!("{folder}/{number}"))
}

fn log_file(block: &Block, names: &Names<'_>, (stream, file): (&str, &str), stage: &mut Section) {
    let from = format!("{stream}_logfile={file}");
    let path = match names.path(file) {
        Ok(path) => path,
        Err(why) => return stage.leave_out(&from, &why),
    };
    let setting = |name: &str| block.get(&format!("{stream}_logfile_{name}"));
    let max_size = setting("maxbytes").map_or_else(|| size("50MB"), size);
    let keep = setting("backups").map_or(Some(10), |number| number.trim().parse::<u32>().ok());
    let (Some(max_size), Some(keep)) = (max_size, keep) else {
        return stage.leave_out(&from, "its size or the number of its backups is no number");
    };
    let pairs = [("path", text(&path)), ("max_size", max_size), ("keep", keep.to_string())];
    stage.set("log_file", table(pairs), &from);
}

fn expanded(names: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    names.expand(value, None).map(|value| Some(text(&value)))
}

fn path(names: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    names.path(value).map(|value| Some(text(&value)))
}

fn number(names: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    match value.trim().parse::<u64>() {
        Ok(1) => Ok(None),
        Ok(number) => Ok(Some(number.to_string())),
        Err(_) => expanded(names, value), // maybe from the environment
    }
}

/// Each variable by itself.
pub(super) fn environment(names: &Names<'_>, value: &str, stage: &mut Section) {
    let from = format!("environment={value}");
    match pairs(value) {
        Ok(pairs) => {
            stage.set_env(pairs.into_iter().map(|(name, value)| (name, names.expand(&value, None))), &from)
        }
        Err(why) => stage.leave_out(&from, &why),
    }
}

fn yes_or_no(value: &str) -> Result<bool, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

fn autostart(names: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    if value.contains("%(") {
        return expanded(names, value);
    }
    Ok((!yes_or_no(value)?).then(|| "false".to_owned()))
}

/// `unexpected` is the default on both sides.
fn autorestart(_: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    if value.trim().eq_ignore_ascii_case("unexpected") {
        return Ok(None);
    }
    Ok(Some(text(if yes_or_no(value)? { "always" } else { "never" })))
}

fn codes(_: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    let codes: Vec<&str> = value.split(',').map(str::trim).filter(|code| !code.is_empty()).collect();
    Ok((codes != ["0"]).then(|| format!("[{}]", codes.join(", "))))
}

fn stopsignal(_: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    Ok(signal(value))
}

fn stopwaitsecs(_: &Names<'_>, value: &str) -> Result<Option<String>, String> {
    seconds(value).map(Some).ok_or_else(|| "no number".to_owned())
}
