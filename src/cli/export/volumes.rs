//! Where a pod finds the pipeline file, what it includes, and the files that hold secrets. Pure.

use crate::config::{IncludedText, Pipeline, Stage, Texts};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Where a pod has the pipeline file.
pub(super) const FOLDER: &str = "/etc/mprun";
/// A ConfigMap holds no more.
const MOST_BYTES: usize = 1 << 20;

/// A file, by its key in a ConfigMap or a Secret.
pub(super) struct Named {
    pub key: String,
    /// Where it is on this machine.
    pub here: PathBuf,
    /// Where a pod has it: below [`FOLDER`], or a path of its own.
    place: Place,
}

enum Place {
    Below(String),
    At(String),
}

/// The texts of a pipeline, by key.
pub(super) struct ConfigFiles<'a> {
    files: Vec<(Named, &'a str)>,
}

impl<'a> ConfigFiles<'a> {
    pub(super) fn of(name: &str, folder: &Path, texts: &'a Texts) -> Result<ConfigFiles<'a>, String> {
        let mut files = vec![(named(&folder.join(name), folder)?, texts.main.as_str())];
        for IncludedText { path, text } in &texts.included {
            files.push((named(&folder.join(path), folder)?, text.as_str()));
        }
        if let Some((file, _)) = files.iter().find(|(file, _)| matches!(file.place, Place::At(_))) {
            return Err(format!("it includes {}, which is outside of its folder", file.here.display()));
        }
        let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
        if bytes > MOST_BYTES {
            return Err(format!(
                "the file and what it includes have {bytes} bytes; a ConfigMap holds {MOST_BYTES}"
            ));
        }
        apart(files.iter().map(|(file, _)| file))?;
        Ok(ConfigFiles { files })
    }

    pub(super) fn data(&self) -> Value {
        self.files.iter().map(|(file, text)| (file.key.clone(), Value::from(*text))).collect()
    }
}

/// The files with secrets that some stages and the broker read.
pub(super) fn secrets<'a>(
    pipeline: &Pipeline,
    stages: impl Iterator<Item = &'a Stage>,
) -> Result<Vec<Named>, String> {
    let broker =
        pipeline.broker.iter().flat_map(|broker| [&broker.access.credentials_file, &broker.access.tls_ca]);
    let env_files = |stage: &'a Stage| {
        let files = stage.work.command().map_or(&[][..], |command| &command.env_file);
        files.iter().map(|file| pipeline.folder_of(stage).join(file))
    };
    let paths: BTreeSet<PathBuf> = broker.flatten().cloned().chain(stages.flat_map(env_files)).collect();
    let files: Vec<Named> =
        paths.iter().map(|path| named(path, &pipeline.folder)).collect::<Result<_, _>>()?;
    apart(files.iter())?;
    Ok(files)
}

/// The volume with all that lies in the file's folder.
pub(super) fn volume(config_map: &str, config: &ConfigFiles<'_>, secret: &str, secrets: &[Named]) -> Value {
    let item = |file: &Named| match &file.place {
        Place::Below(path) => Some(json!({ "key": file.key, "path": path })),
        Place::At(_) => None,
    };
    let items: Vec<Value> = config.files.iter().filter_map(|(file, _)| item(file)).collect();
    let mut sources = vec![json!({ "configMap": { "name": config_map, "items": items } })];
    let items: Vec<Value> = secrets.iter().filter_map(item).collect();
    if !items.is_empty() {
        sources.push(json!({ "secret": { "name": secret, "items": items } }));
    }
    json!({ "name": "files", "projected": { "sources": sources } })
}

/// The mounts of files that are elsewhere; they need the volume `secrets`.
pub(super) fn mounts(secrets: &[Named]) -> Vec<Value> {
    let mount = |file: &Named| match &file.place {
        Place::Below(_) => None,
        Place::At(path) => {
            Some(json!({ "name": "secrets", "mountPath": path, "subPath": file.key, "readOnly": true }))
        }
    };
    secrets.iter().filter_map(mount).collect()
}

fn named(path: &Path, folder: &Path) -> Result<Named, String> {
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| format!("{path:?} is no text"));
    let below = path.strip_prefix(folder).ok();
    let below = below.filter(|rest| rest.components().all(|part| matches!(part, Component::Normal(_))));
    let place = match below {
        Some(rest) => Place::Below(text(rest)?),
        None => Place::At(text(path)?),
    };
    let (Place::Below(name) | Place::At(name)) = &place;
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    let key = name.trim_start_matches('/').chars().map(letter).collect();
    Ok(Named { key, here: path.to_owned(), place })
}

fn apart<'a>(files: impl Iterator<Item = &'a Named>) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    for file in files {
        if !keys.insert(&file.key) {
            return Err(format!(
                "{}: another file has the same key `{}` in the cluster",
                file.here.display(),
                file.key
            ));
        }
    }
    Ok(())
}
