//! `mprun graph FILE`: a pipeline as a drawing.

mod common;
mod dot;
mod mermaid;
mod sheet;
mod svg;
mod text;

use std::path::PathBuf;

use super::check;
use super::output::{self, Failure};
use crate::config::{self, LoadOptions};
use crate::exit;
use crate::stage::Registry;
use common::Graph;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun graph shop.toml                               on the terminal
  mprun graph shop.toml --format svg > shop.svg       as a picture
  mprun graph shop.toml --format mermaid > shop.mmd   for Markdown")]
pub(super) struct Args {
    /// The pipeline file
    file: PathBuf,
    /// How it is drawn
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How a pipeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines for a terminal
    Text,
    /// For Markdown: GitHub, GitLab and many editors draw it
    Mermaid,
    /// For Graphviz
    Dot,
    /// A picture, for a browser or a document
    Svg,
}

/// Prints the drawing of a file.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let loaded = match config::load(&args.file, &LoadOptions::default(), registry) {
        Ok(loaded) => loaded,
        Err(report) => {
            check::show_faults(&args.file, &report);
            return Ok(exit::USAGE);
        }
    };
    let graph = Graph { pipeline: &loaded.pipeline, registry };
    output::print(&match args.format {
        Format::Text => text::draw(&graph),
        Format::Mermaid => mermaid::draw(&graph),
        Format::Dot => dot::draw(&graph),
        Format::Svg => svg::draw(&graph),
    })?;
    Ok(exit::DONE)
}
