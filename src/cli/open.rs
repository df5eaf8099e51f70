//! `mprun open`: a link to the page of a running pipeline.

use super::output::{self, Failure};
use super::target::OnePipeline;
use crate::control::protocol::Open;
use crate::exit;
use crate::logs::RecentLogs;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use url::Url;

/// The page is opened by a file: what a program is called with, other users can read, and they could be faster.
const FILE: &str = "open.html";
/// For the opener to fail, before it is taken for the browser.
const OPENER_TIMEOUT: Duration = Duration::from_secs(3);

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
    #[arg(long, value_name = "URL", value_parser = parse_base)]
    base: Option<String>,
}

/// An address that a browser can open, without a slash at its end. What is behind a `#` or a `?` would hide the code.
fn parse_base(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|_| !text.contains(char::is_whitespace));
    let is_good = |url: &Url| {
        let has_more = url.query().is_some() || url.fragment().is_some() || !url.username().is_empty();
        ["http", "https"].contains(&url.scheme()) && url.has_host() && !has_more
    };
    match url.filter(is_good) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err("expected an address like https://mprun.example.com or http://localhost:7070".to_owned()),
    }
}

/// Prints the link, and opens a browser where there is a screen.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let mut client = args.pipeline.find()?;
    let opened = client.open(&Open { read_only: args.read_only })?;
    let base = args.base.as_deref().unwrap_or(&opened.base);
    let link = format!("{base}{}", opened.path);
    if !args.print && has_screen() && open(&client.socket, &link).is_ok() {
        output::say(&format!("the page at {base} opens in the browser of this machine\n"));
        return Ok(exit::DONE);
    }
    output::print(&format!("{link}\n"))?;
    if io::stdout().is_terminal() {
        let minutes = opened.seconds / 60;
        output::say(&format!("this link is good once, within {minutes} minutes, in one browser\n"));
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
    // Ctrl-C at this terminal is not for a browser.
    let mut child = command.process_group(0).spawn()?;
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait()));
    match ended.recv_timeout(OPENER_TIMEOUT) {
        Ok(status) => match status?.success() {
            true => Ok(()),
            false => Err(io::Error::other("xdg-open failed")),
        },
        // Without a desktop it is the browser itself, which stays.
        Err(_) => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_address_that_a_browser_can_open() {
        let parsed = |text| parse_base(text).ok();
        for (text, base) in [
            ("https://mprun.example.com", "https://mprun.example.com"),
            ("http://localhost:7070/", "http://localhost:7070"),
            ("http://[::1]:7070//", "http://[::1]:7070"),
            ("https://example.com/mprun/", "https://example.com/mprun"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(base), "{text}");
        }
        for text in [
            "",
            "mprun.example.com",
            "localhost:7070",
            "javascript:alert(1)",
            "file:///tmp/x",
            "http://",
            "http://x/ y",
            "http://x/#y",
            "http://x/?y",
            "http://user@x/",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
