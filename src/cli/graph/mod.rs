//! `mprun graph FILE`: a pipeline as a drawing.

mod dot;
mod mermaid;
mod text;

use std::path::PathBuf;

use super::check;
use super::output::{self, Failure};
use crate::config::{self, LoadOptions, Pipeline, Queue, Stage};
use crate::exit;
use crate::stage::Registry;

#[derive(clap::Args)]
pub struct Args {
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
}

/// Prints the drawing of a file.
pub fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
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
    })?;
    Ok(exit::DONE)
}

/// A pipeline with what its drawings have in common.
struct Graph<'a> {
    pipeline: &'a Pipeline,
    registry: &'a Registry,
}

impl Graph<'_> {
    fn queue_at(&self, name: &str) -> Option<usize> {
        self.pipeline.queues.iter().position(|queue| queue.name == name)
    }

    fn readers<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = usize> + 'a {
        let stages = self.pipeline.stages.iter().enumerate();
        stages.filter(|(_, stage)| stage.work.inputs.contains(&queue.name)).map(|(at, _)| at)
    }

    /// Whether what the stage writes goes to standard output.
    fn prints(&self, stage: &Stage) -> bool {
        stage.work.prints(self.registry)
    }
}

/// The second line of a stage: what it does, by how many.
fn what(stage: &Stage) -> String {
    format!("{} ×{}", stage.work.title(), stage.processes)
}
