//! `mprun open`: a link to the page of a running pipeline.

use super::output::{self, Failure};
use super::target::OnePipeline;
use crate::control::protocol::Open;
use crate::exit;
use crate::logs::RecentLogs;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The page is opened by a file: what a program is called with, other users can read, and they could be faster.
const FILE: &str = "open.html";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun open shop                       in the browser of this machine
  mprun open shop --print --read-only   a link for somebody who may only look")]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    /// For looking only: a page that can change nothing
    #[arg(long)]
    read_only: bool,
    /// Only print the link
    #[arg(long)]
    print: bool,
    /// By which address the browser reaches the page, if not by the one that is listened on: that of a tunnel or a proxy
    #[arg(long, value_name = "URL")]
    base: Option<String>,
}

/// Prints the link, and opens a browser where there is a screen.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let mut client = args.pipeline.find()?;
    let opened = client.open(&Open { read_only: args.read_only })?;
    let base = args.base.as_deref().unwrap_or(&opened.base).trim_end_matches('/');
    let link = format!("{base}{}", opened.path);
    if !args.print && has_screen() && open(&client.socket, &link).is_ok() {
        return Ok(exit::DONE);
    }
    output::print(&format!("{link}\n"))?;
    if io::stdout().is_terminal() {
        let minutes = opened.seconds / 60;
        output::report_error(&format!("this link is good once, within {minutes} minutes, in one browser"));
    }
    Ok(exit::DONE)
}

fn has_screen() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"))
}

fn open(socket: &Path, link: &str) -> io::Result<()> {
    let path = write(socket, link)?;
    let mut command = Command::new("xdg-open");
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("xdg-open failed")),
    }
}

/// In the folder of recent logs, which goes with the run.
fn write(socket: &Path, link: &str) -> io::Result<PathBuf> {
    let path = RecentLogs::beside(socket).folder().join(FILE);
    let _ = fs::remove_file(&path); // an earlier link's
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let quoted = link.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    writeln!(
        file,
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={quoted}\"><a href=\"{quoted}\">mprun</a>"
    )?;
    Ok(path)
}
