//! Reads a pipeline file in a process of its own: the file may be on a disk that is gone, or be a pipe or a device that
//! a client has named. The supervisor gets the text, and works out by itself what it means.

use super::errand;
use crate::config::{self, IncludedText, LoadOptions, Survey, Texts, Watched};
use crate::stage::Registry;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The hidden verb.
pub(crate) const VERB: &str = "__load";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    #[serde(with = "crate::model::path_bytes")]
    pub file: PathBuf,
    /// The file whose place it is to take.
    #[serde(with = "crate::model::path_bytes")]
    pub place: PathBuf,
    /// What the command line adds.
    pub options: LoadOptions,
    /// Reports have colours.
    pub colour: bool,
}

/// What was read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// A good file: its text, those of the files that it includes, and what was found on this machine of all that they
    /// name.
    Good(String, Vec<IncludedText>, Survey),
    /// The file is there, and this is wrong with it or with a file that it includes.
    Bad(String, Watched),
    /// There is none that can be read again.
    Gone(String),
}

/// The life of the process.
pub(crate) fn run(registry: &Registry) -> ExitCode {
    let answer = errand::read_request().map(|request| read(&request, registry));
    let text = answer.and_then(|answer| Ok(serde_json::to_string(&answer)?));
    match text {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(2)
        }
    }
}

fn read(request: &Request, registry: &Registry) -> Answer {
    let Request { file, place, options, colour } = request;
    if let Err(why) = is_regular(file) {
        return Answer::Gone(format!("{}: {why}", file.display()));
    }
    match config::load_for(file, place, options, registry) {
        Ok(loaded) => {
            let survey = config::survey(&loaded);
            let Texts { main, included } = loaded.texts;
            Answer::Good(main, included, survey)
        }
        Err(report) => Answer::Bad(report.render(*colour), config::included_by(file, place, options)),
    }
}

/// What can be read once only can't be read again.
fn is_regular(file: &Path) -> Result<(), String> {
    match std::fs::metadata(file) {
        Err(error) => Err(error.to_string()),
        Ok(about) if about.is_file() || about.is_dir() => Ok(()),
        Ok(_) => Err("it is no regular file: it can't be read again".to_owned()),
    }
}
