//! Which file holds the dead letters of which pipeline.
//!
//! As for `queues`, they belong to the pipeline file by its path, or, where it gives a `name` of its own, by that. The
//! folder goes by the name: `NAME/dead.jsonl`. Where it goes by the path, a link beside it, `dead.of`, names the owner: the
//! first pipeline file gets `dead.jsonl`, another one of the same name `dead-HASH.jsonl`. A link is made and read in one
//! step each, so there is no half one.

use nix::unistd::Uid;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// Where systemd keeps the state of the system's services, a folder for each.
const SERVICES: &str = "/var/lib/mprun";

/// A variable of the environment.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The pipeline whose letters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The pipeline's name.
    pub name: String,
    /// Its file, if that has no name of its own.
    pub file: Option<PathBuf>,
}

/// A file of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownFile {
    /// The pipeline's name.
    pub name: String,
    /// Its file, where that is known.
    pub of: Option<PathBuf>,
    /// Where they are.
    pub path: PathBuf,
}

impl Owner {
    /// Where its letters are, or will be.
    pub(crate) fn path(&self, variable: Variable<'_>) -> PathBuf {
        self.path_in(&folder(&self.name, variable))
    }

    fn path_in(&self, folder: &Path) -> PathBuf {
        let first = folder.join("dead.jsonl");
        let Some(file) = &self.file else { return first };
        match std::fs::read_link(link_of(&first)) {
            Ok(of) if of != *file => folder.join(format!("dead-{:016x}.jsonl", number(file))),
            _ => first,
        }
    }

    /// Where they are with the system's services, for root.
    pub(crate) fn paths_of_services(&self, variable: Variable<'_>) -> Vec<PathBuf> {
        let folders = folders_of_services(Uid::effective(), variable, Path::new(SERVICES));
        let paths = folders.into_iter().map(|folder| self.path_in(&folder.join(&self.name)));
        paths.filter(|path| is_plain(path)).collect()
    }

    /// Makes the folder and the link to the owner; returns where the letters go.
    ///
    /// # Errors
    /// When the folder can't be made or written.
    pub(crate) fn claim(&self, variable: Variable<'_>) -> io::Result<PathBuf> {
        let folder = folder(&self.name, variable);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let Some(file) = &self.file else { return Ok(folder.join("dead.jsonl")) };
        // The second round: another pipeline file was faster, and owns the first file now.
        for _ in 0..2 {
            let path = self.path_in(&folder);
            match symlink(file, link_of(&path)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if std::fs::read_link(link_of(&path)).is_ok_and(|of| of == *file) {
                        return Ok(path);
                    }
                }
                made => return made.map(|()| path),
            }
        }
        Err(io::Error::new(
            ErrorKind::AlreadyExists,
            format!("{}: no link", folder.join("dead.of").display()),
        ))
    }
}

/// The files of all pipelines.
pub(crate) fn all_files(variable: Variable<'_>) -> Vec<KnownFile> {
    let names =
        |folder: &PathBuf| entries(folder).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let names: BTreeSet<String> = folders_here(variable).iter().flat_map(names).collect();
    let mut known: Vec<KnownFile> = names.iter().flat_map(|name| files_of(name, variable)).collect();
    known.sort_by(|a, b| a.path.cmp(&b.path));
    known
}

/// The files of pipelines of this name.
pub(crate) fn files_of(name: &str, variable: Variable<'_>) -> Vec<KnownFile> {
    let own = entries(&folder(name, variable));
    let of_services = folders_of_services(Uid::effective(), variable, Path::new(SERVICES));
    let of_services =
        of_services.iter().flat_map(|folder| entries(&folder.join(name))).filter(|path| is_plain(path));
    let paths = own.chain(of_services).filter(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file == "dead.jsonl" || file.starts_with("dead-") && file.ends_with(".jsonl")
    });
    let with_owner = |path: PathBuf| KnownFile {
        name: name.to_owned(),
        of: std::fs::read_link(link_of(&path)).ok(),
        path,
    };
    let mut known: Vec<KnownFile> = paths.map(with_owner).collect();
    known.sort_by(|a, b| a.path.cmp(&b.path));
    known
}

/// The folder of a pipeline: `$STATE_DIRECTORY` (set by systemd), else `$XDG_STATE_HOME/mprun`, else
/// `~/.local/state/mprun`; then its name.
pub(crate) fn folder(name: &str, variable: Variable<'_>) -> PathBuf {
    state_folder(variable).join(name)
}

/// The folders of state where the letters of pipelines are looked for, the own one first: for root those of services as well,
/// as their sockets are.
pub(crate) fn folders_here(variable: Variable<'_>) -> Vec<PathBuf> {
    let of_services = folders_of_services(Uid::effective(), variable, Path::new(SERVICES));
    [state_folder(variable)].into_iter().chain(of_services).collect()
}

/// The service that has these letters: `mprun-NAME` or `mprun@NAME`.
pub(crate) fn service_of(path: &Path) -> Option<&str> {
    path.strip_prefix(SERVICES).ok()?.iter().next()?.to_str()
}

/// None where the environment says which folder is meant.
fn folders_of_services(uid: Uid, variable: Variable<'_>, services: &Path) -> Vec<PathBuf> {
    if !uid.is_root() || variable("STATE_DIRECTORY").is_some() {
        return Vec::new();
    }
    let mut folders: Vec<PathBuf> = entries(services).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// In the folder of another user, who may have put a link there: root does not follow it.
fn is_plain(path: &Path) -> bool {
    let is = |path: &Path, is: fn(&Metadata) -> bool| {
        std::fs::symlink_metadata(path).is_ok_and(|found| is(&found))
    };
    is(path, Metadata::is_file) && path.parent().is_some_and(|folder| is(folder, Metadata::is_dir))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn link_of(path: &Path) -> PathBuf {
    path.with_extension("of")
}

fn number(file: &Path) -> u64 {
    super::letters::number(file.as_os_str().as_encoded_bytes())
}

/// Of all pipelines of this user.
pub(crate) fn state_folder(variable: Variable<'_>) -> PathBuf {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd separates several with colons: the first is the unit's main one.
    if let Some(first) = variable("STATE_DIRECTORY").as_deref().and_then(|all| all.split(':').next())
        && Path::new(first).is_absolute()
    {
        return PathBuf::from(first);
    }
    if let Some(folder) = absolute("XDG_STATE_HOME") {
        return folder.join("mprun");
    }
    absolute("HOME").or_else(home_of_user).unwrap_or_else(|| PathBuf::from("/")).join(".local/state/mprun")
}

/// A service without `HOME` still has a user.
fn home_of_user() -> Option<PathBuf> {
    nix::unistd::User::from_uid(Uid::effective()).ok().flatten().map(|user| user.dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_the_services_then_the_users() {
        let with = |pairs: &'static [(&str, &str)]| {
            folder("p", &|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
            })
        };
        assert_eq!(
            with(&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("HOME", "/h")]),
            Path::new("/var/lib/a/p")
        );
        assert_eq!(with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/mprun/p"));
        assert_eq!(
            with(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Path::new("/h/.local/state/mprun/p")
        );
    }

    #[test]
    fn root_looks_into_the_folders_of_services_unless_one_folder_is_named() {
        let services = std::env::temp_dir().join(format!("mprun-services-{}", std::process::id()));
        std::fs::create_dir_all(services.join("b/p")).unwrap();
        std::fs::create_dir_all(services.join("a")).unwrap();
        let none = |_: &str| None;
        let named = |name: &str| (name == "STATE_DIRECTORY").then(|| "/x".to_owned());
        let of = |uid, variable: Variable<'_>| folders_of_services(Uid::from_raw(uid), variable, &services);
        assert_eq!(of(0, &none), [services.join("a"), services.join("b")]);
        assert!(of(7, &none).is_empty() && of(0, &named).is_empty());
        let letters = services.join("b/p/dead.jsonl");
        std::fs::write(&letters, "").unwrap();
        assert!(is_plain(&letters));
        symlink("p", services.join("b/q")).unwrap();
        symlink("dead.jsonl", services.join("b/p/dead-1.jsonl")).unwrap();
        assert!(!is_plain(&services.join("b/q/dead.jsonl")) && !is_plain(&services.join("b/p/dead-1.jsonl")));
        assert_eq!(service_of(Path::new("/var/lib/mprun/a/p/dead.jsonl")), Some("a"));
        assert_eq!(service_of(&letters), None);
        std::fs::remove_dir_all(&services).unwrap();
    }

    #[test]
    fn two_files_of_one_name_have_letters_of_their_own_and_a_name_is_shared() {
        let state = std::env::temp_dir().join(format!("mprun-location-{}", std::process::id()));
        let variable = |name: &str| (name == "STATE_DIRECTORY").then(|| state.display().to_string());
        let owner = |file: Option<&str>| Owner { name: "shop".into(), file: file.map(PathBuf::from) };
        let one = owner(Some("/a/shop.toml")).claim(&variable).unwrap();
        let other = owner(Some("/b/shop.toml")).claim(&variable).unwrap();
        assert_eq!(one, state.join("shop/dead.jsonl"));
        assert_ne!(one, other);
        for (file, path) in [("/a/shop.toml", &one), ("/b/shop.toml", &other)] {
            assert_eq!(owner(Some(file)).claim(&variable).unwrap(), *path);
            assert_eq!(owner(Some(file)).path(&variable), *path);
            std::fs::write(path, "").unwrap();
        }
        let of: Vec<_> = files_of("shop", &variable).into_iter().filter_map(|known| known.of).collect();
        assert_eq!(of, [Path::new("/b/shop.toml"), Path::new("/a/shop.toml")]);
        assert_eq!(owner(None).claim(&variable).unwrap(), one);
        std::fs::remove_dir_all(&state).unwrap();
    }
}
