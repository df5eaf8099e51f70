//! `mprun export kubernetes FILE`: what a cluster needs to run the file on its machines, as manifests on standard output.

mod groups;
mod kubernetes;
mod plain_secrets;
mod variables;
mod volumes;
mod yaml;

use std::path::PathBuf;

use super::check;
use super::output::{self, Failure};
use crate::config::{self, LoadOptions};
use crate::exit;
use crate::stage::Registry;
use kubernetes::Request;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun export kubernetes shop.toml --image shop:1 | kubectl apply -f -")]
pub(super) struct Args {
    #[command(subcommand)]
    to: To,
}

/// Who runs it.
#[derive(clap::Subcommand)]
enum To {
    /// Kubernetes: a workload for each group of stages that local queues join, and the file as a ConfigMap
    #[command(after_help = "\
Examples:
  mprun export kubernetes shop.toml --image shop:1 | kubectl apply -f -
  mprun export kubernetes shop.toml --image shop:1 > shop.yaml")]
    Kubernetes {
        /// The pipeline file
        file: PathBuf,
        /// The container image, with mprun and the programs of the file in its PATH
        #[arg(long, value_name = "IMAGE")]
        image: String,
    },
}

/// Prints the manifests; what a cluster will do otherwise than this machine goes to standard error.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let To::Kubernetes { file, image } = &args.to;
    let loaded = match config::load(file, &LoadOptions::default(), registry) {
        Ok(loaded) => loaded,
        Err(report) => {
            check::show_faults(file, &report);
            return Ok(exit::USAGE);
        }
    };
    let request = Request { file, image, pipeline: &loaded.pipeline, texts: &loaded.texts, registry };
    let manifests = kubernetes::manifests(&request)
        .map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?;
    output::print(&manifests.text)?;
    for warning in &manifests.warnings {
        output::say(&format!("warning: {}: {warning}\n", file.display()));
    }
    Ok(exit::DONE)
}
