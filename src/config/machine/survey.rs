//! Looks at the machine: every question that a pipeline asks of it, with the answer.

use super::needs::MachineNeeds;
use crate::config::diagnostic::{nearest, reason};
use crate::config::env_file::{self, Variables};
use crate::config::load::Loaded;
use crate::config::pipeline::token_file::TokenFile;
use crate::config::pipeline::{Check, Command, Control, Invocation, Placeholders, Probe, Stage, Task};
use crate::stage::without_authorities;
use nix::unistd::{AccessFlags, Group, User, access};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a program is looked for when nothing says so.
pub(crate) const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What was found, by stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    pub(super) stages: BTreeMap<String, Found>,
    /// A file of `[broker]` that is of no use: its key, and why.
    #[serde(default)]
    pub(super) broker: Option<(String, String)>,
    /// Files of `[control]` without a good token.
    #[serde(default)]
    pub(super) tokens: Vec<Token>,
    /// The token for everything is the one for looking, too.
    #[serde(default)]
    pub(super) has_one_token: bool,
}

/// A file that holds no token, or shows it to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Token {
    pub key: String,
    pub path: PathBuf,
    pub why: String,
    /// It holds one that every user of the machine can read.
    pub is_shown: bool,
}

/// What a stage asks for; `None`: it does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Found {
    pub env_file: Option<EnvFile>,
    pub folder: Option<Folder>,
    pub program: Option<Program>,
    /// Those of checks.
    pub ready: Option<Program>,
    pub health: Option<Program>,
    pub user: Option<Name>,
    pub group: Option<Name>,
    /// The files that `lines` reads; there is none.
    pub no_input: Option<PathBuf>,
    /// What should be a file to read or to write is a folder.
    #[serde(default)]
    pub is_folder: Option<FolderAsFile>,
    /// The folder of the file that `file` writes; it is not there.
    #[serde(default)]
    pub no_folder: Option<PathBuf>,
    /// Why no server of https can be trusted.
    #[serde(default)]
    pub no_authority: Option<String>,
}

/// A folder in the place of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum FolderAsFile {
    Read(PathBuf),
    Written(PathBuf),
}

/// The environment files of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum EnvFile {
    /// What it says.
    Good(Variables),
    /// Why it says nothing; a name like it.
    Bad { why: String, near: Option<String> },
}

/// `cwd`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Folder {
    Good,
    /// There is nothing of this name.
    Missing {
        path: PathBuf,
        near: Option<String>,
    },
    /// It can't be entered.
    Bad {
        path: PathBuf,
        why: String,
    },
}

/// A program that is run directly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Program {
    Good,
    /// No file of this name in these folders.
    NotInPath {
        name: String,
        path: String,
        near: Option<String>,
    },
    /// No such file.
    Missing {
        path: PathBuf,
        near: Option<String>,
    },
    /// It is there, and its first line names an interpreter that is not.
    NoInterpreter {
        path: PathBuf,
        interpreter: String,
    },
    /// It is there, but can't be executed.
    Bad {
        path: PathBuf,
        is_folder: bool,
    },
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Name {
    /// It has a name, and so groups, a home and the like.
    Known,
    /// A number without a name.
    Number,
    /// No such name.
    Unknown { near: Option<String> },
    /// The user database did not answer.
    NotAnswered(String),
}

impl Survey {
    /// What the environment file of a stage says.
    pub fn variables(&self, stage: &str) -> Option<Variables> {
        match &self.stages.get(stage)?.env_file {
            Some(EnvFile::Good(variables)) => Some(variables.clone()),
            Some(EnvFile::Bad { .. }) | None => None,
        }
    }
}

/// Looks for all that the stages name.
pub fn survey(loaded: &Loaded) -> Survey {
    let Loaded { pipeline, needs, .. } = loaded;
    let find = |stage: &Stage| (stage.name.clone(), find_needs(stage, needs, pipeline.folder_of(stage)));
    let broker = pipeline.broker.as_ref().and_then(|broker| broker.read_files().err());
    let (tokens, has_one_token) = find_tokens(&pipeline.control);
    Survey {
        stages: pipeline.stages.iter().map(find).collect(),
        broker: broker.map(|(key, why)| (key.to_owned(), why)),
        tokens,
        has_one_token,
    }
}

/// Reads the files of `[control]`: what is wrong with them, and whether both hold the same token.
fn find_tokens(control: &Control) -> (Vec<Token>, bool) {
    if control.listen.is_none() {
        return (Vec::new(), false);
    }
    let files = [("token_file", &control.token_file), ("read_token_file", &control.read_token_file)];
    let read = files.map(|(key, path)| path.as_ref().map(|path| (key, path, TokenFile::read(path))));
    let [one, other] = read.each_ref().map(|file| file.as_ref().and_then(|(_, _, file)| file.as_ref().ok()));
    let is_same = one.zip(other).is_some_and(|(one, other)| one.token == other.token);
    let look = |(key, path, file): (&str, &PathBuf, io::Result<TokenFile>)| {
        let (why, is_shown) = match file {
            Ok(file) => (file.caution?, true),
            Err(error) => (error.to_string(), false),
        };
        Some(Token { key: key.to_owned(), path: path.clone(), why, is_shown })
    };
    (read.into_iter().flatten().filter_map(look).collect(), is_same)
}

fn find_needs(stage: &Stage, needs: &MachineNeeds, folder: &Path) -> Found {
    match &stage.work.task {
        Task::Command(command) => {
            let found = of_command(command, stage.processes, folder);
            let of_check = |check: Option<&Check>| {
                let Probe::Command(invocation @ Invocation::Direct(_)) = &check?.probe else { return None };
                let command = Command { invocation: invocation.clone(), ..command.as_ref().clone() };
                Some(find_program(&command, found.env_file.as_ref(), stage.processes, folder))
            };
            let ready = of_check(stage.ready.as_ref());
            let health = of_check(stage.health.as_ref().map(|health| &health.check));
            Found { ready, health, ..found }
        }
        Task::Use { .. } => {
            let missing = needs.files(&stage.name).filter(|path| is_missing(path));
            let asks = needs.asks_authorities(&stage.name);
            let folder = |path: Option<&Path>| path.filter(|path| path.is_dir()).map(Path::to_owned);
            let read = folder(needs.files(&stage.name)).map(FolderAsFile::Read);
            let written = folder(needs.written_file(&stage.name)).map(FolderAsFile::Written);
            Found {
                no_input: missing.map(Path::to_owned),
                is_folder: read.or(written),
                no_folder: needs.written_file(&stage.name).and_then(missing_folder),
                no_authority: if asks { without_authorities() } else { None },
                ..Found::default()
            }
        }
    }
}

fn of_command(command: &Command, processes: u32, folder: &Path) -> Found {
    let env_file = read_env_files(&command.env_file, folder);
    let program = match &command.invocation {
        Invocation::Direct(_) => Some(find_program(command, env_file.as_ref(), processes, folder)),
        Invocation::Shell(_) => None,
    };
    Found {
        folder: command.cwd.as_ref().map(|cwd| check_folder(&folder.join(cwd), command.user.is_some())),
        program,
        user: command.user.as_deref().map(look_up_user),
        group: command.group.as_deref().map(look_up_group),
        env_file,
        ..Found::default()
    }
}

/// The folder in which a file can't be made, as it is not there. Of a symbolic link it is that of its target.
fn missing_folder(file: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(file).ok().and_then(|target| Some(file.parent()?.join(target)));
    let folder = target.as_deref().unwrap_or(file).parent()?;
    let is_missing =
        std::fs::metadata(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    is_missing.then(|| folder.to_owned())
}

/// The first bad one counts; `None`: the stage names none.
fn read_env_files(paths: &[PathBuf], folder: &Path) -> Option<EnvFile> {
    let mut all = Variables::new();
    for path in paths.iter().map(|path| folder.join(path)) {
        match env_file::load(&path) {
            Ok(variables) => all.extend(variables),
            Err(error) => {
                let near = if path.exists() { None } else { similar_file(&path) };
                return Some(EnvFile::Bad { why: error.to_string(), near });
            }
        }
    }
    (!paths.is_empty()).then_some(EnvFile::Good(all))
}

/// `other`: another user will enter it, whose rights are not known here.
fn check_folder(path: &Path, other: bool) -> Folder {
    let bad = |why: &str| Folder::Bad { path: path.to_owned(), why: why.to_owned() };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Folder::Missing { path: path.to_owned(), near: similar_folder(path) }
        }
        Err(_) if other => Folder::Good,
        Err(error) => bad(&reason(&error)),
        Ok(about) if !about.is_dir() => bad("it is not a folder"),
        Ok(_) if other => Folder::Good,
        Ok(_) => match access(path, AccessFlags::X_OK) {
            Ok(()) => Folder::Good,
            Err(errno) => bad(errno.desc()),
        },
    }
}

/// As the worker looks for it: a name with a slash is a path that starts at the pipeline file's folder, any other is
/// looked for in the PATH that the program itself will have.
fn find_program(command: &Command, env_file: Option<&EnvFile>, processes: u32, folder: &Path) -> Program {
    let title = command.invocation.program();
    let is_numbered = title.contains("{worker}") && command.placeholders == Placeholders::Item;
    let workers = if is_numbered { processes } else { 1 };
    let names = (0..workers).map(|worker| match is_numbered {
        true => title.replace("{worker}", &worker.to_string()),
        false => title.to_owned(),
    });
    let path = path_of(command, env_file);
    let mut found = names.map(|name| find_one(&name, &path, folder, command.user.is_some()));
    found.find(|program| *program != Program::Good).unwrap_or(Program::Good)
}

fn find_one(name: &str, path: &OsStr, folder: &Path, other: bool) -> Program {
    if name.contains('/') {
        let file = folder.join(name.strip_prefix("./").unwrap_or(name));
        return match (is_executable(&file, other), file.exists()) {
            (true, _) => with_interpreter(file),
            (false, true) => Program::Bad { is_folder: file.is_dir(), path: file },
            (false, false) => Program::Missing { near: similar_file(&file), path: file },
        };
    }
    let folders: Vec<PathBuf> = std::env::split_paths(path).map(|each| folder.join(each)).collect();
    let files = || folders.iter().map(|folder| folder.join(name));
    if let Some(file) = files().find(|file| is_executable(file, other)) {
        return with_interpreter(file);
    }
    if let Some(path) = files().find(|file| file.is_file()) {
        return Program::Bad { path, is_folder: false };
    }
    let names: Vec<String> = folders.iter().flat_map(|folder| names_in(folder)).collect();
    let near = match folder.join(name).is_file() {
        true => Some(format!("./{name}")),
        false => nearest(name, names.iter().map(String::as_str)).map(str::to_owned),
    };
    Program::NotInPath { name: name.to_owned(), path: path.to_string_lossy().into_owned(), near }
}

/// Whether the interpreter that a script names is there. A line end of Windows becomes a part of its name, or of its argument.
fn with_interpreter(path: PathBuf) -> Program {
    match interpreter(&path) {
        Some(interpreter) if interpreter.ends_with('\r') || !Path::new(&interpreter).exists() => {
            Program::NoInterpreter { path, interpreter }
        }
        Some(_) | None => Program::Good,
    }
}

/// What the `#!` line of a script names: with its argument, if that ends with a carriage return. As far as the kernel reads.
fn interpreter(path: &Path) -> Option<String> {
    const MAX_LINE: u64 = 256;
    let mut begin = Vec::new();
    File::open(path).ok()?.take(MAX_LINE).read_to_end(&mut begin).ok()?;
    let line = begin.strip_prefix(b"#!")?;
    let line = String::from_utf8_lossy(&line[..memchr::memchr(b'\n', line)?]).into_owned();
    let line = line.trim_matches([' ', '\t']);
    let words = if line.ends_with('\r') { line } else { line.split([' ', '\t']).next()? };
    (words.starts_with('/')).then(|| words.to_owned())
}

/// The PATH that a program will have: the stage's, its environment file's, or this program's own.
fn path_of(command: &Command, env_file: Option<&EnvFile>) -> OsString {
    let of_stage = command.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.into());
    let of_file = || match env_file {
        Some(EnvFile::Good(variables)) => {
            variables.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone())
        }
        Some(EnvFile::Bad { .. }) | None => None,
    };
    of_stage.or_else(of_file).or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| USUAL_PATH.into())
}

fn is_executable(file: &Path, other: bool) -> bool {
    let has_bit = || std::fs::metadata(file).is_ok_and(|about| about.permissions().mode() & 0o111 != 0);
    file.is_file() && if other { has_bit() } else { access(file, AccessFlags::X_OK).is_ok() }
}

fn look_up_user(name: &str) -> Name {
    let by_name = User::from_name(name).map(|found| found.is_some());
    look_up_name(
        name,
        by_name,
        |number| User::from_uid(number.into()).is_ok_and(|found| found.is_some()),
        "/etc/passwd",
    )
}

fn look_up_group(name: &str) -> Name {
    let by_name = Group::from_name(name).map(|found| found.is_some());
    look_up_name(
        name,
        by_name,
        |number| Group::from_gid(number.into()).is_ok_and(|found| found.is_some()),
        "/etc/group",
    )
}

/// `list`: a file of lines that begin with a name and a colon.
fn look_up_name(
    name: &str,
    by_name: nix::Result<bool>,
    has_name: impl FnOnce(u32) -> bool,
    list: &str,
) -> Name {
    match by_name {
        Ok(true) => return Name::Known,
        Err(errno) => return Name::NotAnswered(errno.desc().to_owned()),
        Ok(false) => {}
    }
    if let Ok(number) = name.parse() {
        return if has_name(number) { Name::Known } else { Name::Number };
    }
    let text = std::fs::read(list).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
    Name::Unknown { near: nearest(name, names).map(str::to_owned) }
}

/// Whether there is no file of this name, or none that matches the pattern. A search through folders of any depth may
/// take long: that is left to the stage.
fn is_missing(pattern: &Path) -> bool {
    let text = pattern.as_os_str().as_bytes();
    if pattern.exists() || text.windows(2).any(|two| two == b"**") {
        return false;
    }
    let matches = pattern.to_str().and_then(|pattern| glob::glob(pattern).ok());
    matches.is_some_and(|mut matches| matches.next().is_none())
}

/// The file of a name like it in the same folder.
fn similar_file(path: &Path) -> Option<String> {
    similar(path, |path| !path.is_dir())
}

/// The same of a folder.
fn similar_folder(path: &Path) -> Option<String> {
    similar(path, Path::is_dir)
}

fn similar(path: &Path, is_meant: impl Fn(&Path) -> bool) -> Option<String> {
    let (parent, name) = (path.parent()?, path.file_name()?.to_str()?);
    let mut names = names_in(parent);
    names.retain(|name| is_meant(&parent.join(name)));
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(parent.join(near).display().to_string())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
