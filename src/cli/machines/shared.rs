//! `mprun shared list|drop`: what a broker holds of pipelines, and its deletion.

use super::{SharedPipeline, is_path};
use crate::broker::{Access, Dropped, Fault, HeldPipeline, HeldRun, Inventory, MachineName};
use crate::cli::output::{self, Failure};
use crate::cli::table::{Table, terminal_width};
use crate::config::BrokerUrl;
use crate::exit;
use crate::numbers::{counted, counted_are};
use crate::stage::Registry;
use crate::terminal as terminals;
use crate::text::one_line;
use serde::Serialize;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun shared list redis://queues.example
  mprun shared drop shop.toml")]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the pipelines that a broker holds
    List(ListArgs),
    /// Delete all that a broker holds of a pipeline: its runs, items and dead letters
    Drop(DropArgs),
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun shared list redis://queues.example   what a broker holds
  mprun shared list shop.toml                what the broker of this file holds")]
struct ListArgs {
    /// The broker's address, or a pipeline file that names it. Can be left out where only one pipeline runs here
    #[arg(value_name = "URL|FILE")]
    place: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun shared drop shop.toml
  mprun shared drop shop --broker redis://queues.example --yes   (no file)")]
struct DropArgs {
    /// The pipeline file, or the pipeline's name with --broker
    #[arg(value_name = "FILE|PIPELINE")]
    pipeline: String,
    /// The broker's address, where there is no file
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// What its keys begin with, where there is no file
    #[arg(long, requires = "broker", default_value = "mprun")]
    prefix: String,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Also while machines of it are alive: they end with an error
    #[arg(long)]
    force: bool,
}

pub(in crate::cli) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    match &args.verb {
        Verb::List(args) => list(args, registry),
        Verb::Drop(args) => drop(args, registry),
    }
}

/// A broker, and the way to it.
struct Server {
    url: BrokerUrl,
    access: Access,
    runtime: Runtime,
}

impl Server {
    fn at(address: &str) -> Result<Server, Failure> {
        let forms = "an address is `redis://HOST:PORT`, `rediss://…`, `nats://…` or `tls://…`";
        let url = BrokerUrl::parse(address).map_err(|why| Failure::usage(format!("{why}: {forms}")))?;
        let access = Access::at(url.with_secrets());
        Server::new(url, access)
    }

    fn of(pipeline: &SharedPipeline) -> Result<Server, Failure> {
        let access = pipeline.access().map_err(|fault| pipeline.failure(&fault))?;
        Server::new(pipeline.broker.url.clone(), access)
    }

    fn new(url: BrokerUrl, access: Access) -> Result<Server, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("prepare a connection", &error))?;
        Ok(Server { url, access, runtime })
    }

    fn ask<T>(&self, request: impl AsyncFnOnce(&Inventory) -> Result<T, Fault>) -> Result<T, Failure> {
        let answer = self.runtime.block_on(async { request(&Inventory::open(&self.access).await?).await });
        answer.map_err(|fault| super::failure(&self.url, &fault))
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    pipeline: &'a str,
    prefix: &'a str,
    runs: &'a [HeldRun],
    keys: usize,
    /// Why it can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

fn list(args: &ListArgs, registry: &Registry) -> Result<u8, Failure> {
    let server = match &args.place {
        Some(address) if address.contains("://") => Server::at(address)?,
        place => Server::of(&SharedPipeline::named(place.as_deref(), registry)?)?,
    };
    let all = server.ask(async |inventory| inventory.pipelines().await)?;
    let shown = |held: &'_ HeldPipeline| {
        serde_json::to_value(Shown {
            pipeline: &held.pipeline,
            prefix: &held.prefix,
            runs: &held.runs,
            keys: held.keys.len(),
            fault: held.fault.as_ref().map(ToString::to_string),
        })
    };
    let values: Vec<_> = all.iter().filter_map(|held| shown(held).ok()).collect();
    output::show(args.json, &values, || text(&all, &server.url))?;
    for key in all.iter().flat_map(|held| &held.runs).flat_map(|run| &run.foreign) {
        let key = one_line(key);
        output::say(&format!(
            "warning: something else has written the key {key}, which counts as nothing: `TYPE` tells what it is\n"
        ));
    }
    Ok(exit::DONE)
}

fn text(all: &[HeldPipeline], url: &BrokerUrl) -> String {
    if all.is_empty() {
        return format!("{url} holds no pipeline\n");
    }
    let heads = ["<PIPELINE", "<PREFIX", "RUN", "<STATE", "<BEGUN", "ITEMS", "LETTERS", "ALIVE", "KEYS"];
    let mut table = Table::new(&heads);
    for held in all {
        let sum = Sum::of(held);
        let last = held.runs.last();
        let state = match last {
            _ if held.fault.is_some() => "unreadable",
            None => "-",
            Some(HeldRun { ended: Some(_), .. }) => "ended",
            Some(_) => "running",
        };
        let known = |sum: u64| if held.fault.is_some() { "-".to_owned() } else { sum.to_string() };
        table.push([
            held.pipeline.clone(),
            held.prefix.clone(),
            last.map_or("-".to_owned(), |run| run.number.to_string()),
            state.to_owned(),
            last.and_then(|run| run.begun).map_or("-".to_owned(), written),
            known(sum.items),
            known(sum.letters),
            known(sum.alive),
            held.keys.len().to_string(),
        ]);
    }
    let why = |held: &HeldPipeline| {
        let fault = held.fault.as_ref()?;
        Some(format!("{} (prefix {}) can't be read: {fault}\n", held.pipeline, held.prefix))
    };
    let faults: String = all.iter().filter_map(why).collect();
    table.render(terminal_width()) + &faults
}

fn written(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Over all runs.
struct Sum {
    items: u64,
    letters: u64,
    alive: u64,
}

impl Sum {
    fn of(held: &HeldPipeline) -> Sum {
        let sum = |what: fn(&HeldRun) -> u64| held.runs.iter().map(what).sum();
        Sum { items: sum(|run| run.items), letters: sum(|run| run.letters), alive: sum(|run| run.alive) }
    }
}

fn drop(args: &DropArgs, registry: &Registry) -> Result<u8, Failure> {
    let (server, prefix, name) = match &args.broker {
        Some(_) if is_path(&args.pipeline) => {
            let file = &args.pipeline;
            let why = format!(
                "--broker goes with a pipeline's name: write `mprun shared drop {file}` alone, or the name"
            );
            return Err(Failure::usage(why));
        }
        Some(address) => (Server::at(address)?, args.prefix.clone(), args.pipeline.clone()),
        None if args.pipeline.contains("://") => {
            // The address as it was written may hold a password.
            let shown =
                BrokerUrl::parse(&args.pipeline).map_or_else(|_| "URL".to_owned(), |url| url.to_string());
            let why = "a broker's address stands where the pipeline belongs";
            let shown = format!(
                "{why}: write `mprun shared drop PIPELINE --broker {shown}` (`mprun shared list {shown}` lists them)"
            );
            return Err(Failure::usage(shown));
        }
        None if Path::new(&args.pipeline).is_file() => {
            let pipeline = SharedPipeline::of_file(Path::new(&args.pipeline), registry)?;
            (Server::of(&pipeline)?, pipeline.broker.access.prefix.clone(), pipeline.name)
        }
        None => {
            let why = format!("there is no file {}: a pipeline's name needs --broker URL", args.pipeline);
            return Err(Failure::usage(why));
        }
    };
    let found = server.ask(async |inventory| inventory.pipeline(&prefix, &name).await)?;
    let Some(held) = found else {
        return Err(Failure::failed(format!("{} holds nothing of {name} (prefix {prefix})", server.url)));
    };
    let what = described(&held);
    if !args.yes && !is_confirmed(&what, &server.url)? {
        output::say("nothing is deleted\n");
        return Ok(exit::FAILED);
    }
    match server.ask(async |inventory| inventory.drop(&held, args.force).await)? {
        Dropped::Alive(machine) => Err(Failure::failed(format!(
            "the machine {} is alive: stop it first, or use --force; nothing is deleted",
            MachineName(&machine)
        ))),
        Dropped::Heard(connections) => Err(Failure::failed(format!(
            "it can't be read, and {} open that hear what comes there, perhaps of machines that are alive: stop them first, or use \
             --force; nothing is deleted",
            counted_are(connections, "connection")
        ))),
        Dropped::Keys(keys) => {
            output::print(&format!("deleted {what}: {}\n", counted(keys, "key")))?;
            Ok(exit::DONE)
        }
    }
}

fn described(held: &HeldPipeline) -> String {
    if held.fault.is_some() {
        return format!("{} (prefix {}), which can't be read", held.pipeline, held.prefix);
    }
    let Sum { items, letters, .. } = Sum::of(held);
    let runs = counted(held.runs.len() as u64, "run");
    let (items, letters) = (counted(items, "item"), counted(letters, "dead letter"));
    format!("{} (prefix {}), {runs} with {items} and {letters}", held.pipeline, held.prefix)
}

/// Asks the person at the terminal.
fn is_confirmed(what: &str, url: &BrokerUrl) -> Result<bool, Failure> {
    if !terminals::stdin().is_terminal || !terminals::stderr().is_terminal {
        return Err(Failure::usage(format!("this deletes {what} in {url}: say --yes")));
    }
    output::say(&format!("This deletes {what} in {url}. Go on? [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::io("read the answer", &error))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
