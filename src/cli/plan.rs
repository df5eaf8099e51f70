//! `mprun plan [NAME|FILE]`: what a reload would change in the running pipeline.

use std::path::{Path, PathBuf};

use super::output::{self, Failure};
use super::target::{self, Where};
use crate::config::{self, LoadOptions};
use crate::control::client::Client;
use crate::control::protocol::Plan;
use crate::exit;
use crate::stage::Registry;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun plan shop                what a reload of its file would do
  mprun plan next.toml -p shop   what another file in its place would do")]
pub(super) struct Args {
    /// The running pipeline by its name, or a file that would take the place of its own. Can be left out when only one runs
    #[arg(value_name = "NAME|FILE")]
    what: Option<PathBuf>,
    /// The running pipeline, if that is not clear from the file
    #[arg(long, short = 'p', value_name = "NAME")]
    pipeline: Option<String>,
    /// Print the steps as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Shows the steps of a reload, without taking any.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let (mut client, file) = find(args, registry)?;
    let file = file.map(absolute).transpose()?;
    let plan = client.plan(&Plan { file })?;
    output::show(args.json, &plan, || match plan.steps.is_empty() {
        true => "nothing to do: the pipeline runs as the file says\n".to_owned(),
        false => plan.steps.join("\n") + "\n",
    })?;
    Ok(exit::DONE)
}

/// A pipeline by its name, as the only one, by the file, or by the name that the file says; and the file, if it is another
/// than the pipeline's own. A name goes before a file or folder of that name: `./NAME` is the file.
fn find<'a>(args: &'a Args, registry: &Registry) -> Result<(Client, Option<&'a Path>), Failure> {
    let Some(what) = &args.what else {
        return Ok((target::find(args.pipeline.as_deref(), &args.place)?, None));
    };
    if args.pipeline.is_none() && args.place.socket.is_none() {
        let name = what.to_str().filter(|name| target::is_name(name));
        if let Some(name) = name {
            return Ok((target::find(Some(name), &args.place)?, None));
        }
        if !what.exists() {
            let why = target::no_pipeline_called(&what.to_string_lossy(), ", and there is no such file");
            return Err(Failure::usage(why.to_string()));
        }
    }
    Ok((find_by_file(args, what, registry)?, Some(what)))
}

fn find_by_file(args: &Args, file: &Path, registry: &Registry) -> Result<Client, Failure> {
    if args.pipeline.is_some() || args.place.socket.is_some() || target::running(|_| true).len() == 1 {
        return target::find(args.pipeline.as_deref(), &args.place);
    }
    let by_file = target::find(file.to_str(), &args.place);
    match config::load(file, &LoadOptions::default(), registry) {
        Ok(loaded) if by_file.is_err() => target::find(Some(&loaded.pipeline.name), &args.place),
        Ok(_) | Err(_) => by_file,
    }
}

fn absolute(file: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(file).map_err(|error| Failure::io("find the file", &error))?;
    let text = path
        .to_str()
        .ok_or_else(|| Failure::usage(format!("the name {} is no UTF-8: rename the file", file.display())))?;
    Ok(text.to_owned())
}
