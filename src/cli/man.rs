//! `mprun man DIR`: manual pages, one of mprun and one of each verb, from the same source as `--help`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use super::output::Failure;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun man ~/.local/share/man/man1   then: man mprun-status")]
pub(super) struct Args {
    /// The folder to write to; it is made if it is not there
    dir: PathBuf,
}

/// Writes the pages.
pub(super) fn run(args: &Args, command: Command) -> Result<(), Failure> {
    let folder = &args.dir;
    // Each page has its own line on the verb `help`; pages of its own would say nothing more.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    fs::create_dir_all(folder)
        .and_then(|()| write_all(&command, folder))
        .map_err(|error| Failure::io(&format!("write manual pages to {}", folder.display()), &error))
}

fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_all(verb, folder)?;
    }
    let page = page(command);
    fs::write(folder.join(page.get_filename()), text(command, &page)?)
}

/// Its head and foot name the program and its version, as other programs' pages do.
fn page(command: &Command) -> Man {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_uppercase();
    let version = concat!("mprun ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).title(name).source(version).manual("mprun")
}

/// As [`Man::render`] has it, but with what stands below the options of `--help` line by line and under its own heads.
fn text(command: &Command, page: &Man) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        page.render_subcommands_section(&mut text)?;
    }
    let after = command.get_after_long_help().or(command.get_after_help());
    text.extend(after.map(|after| sections(&after.to_string())).unwrap_or_default().bytes());
    Ok(text)
}

/// A line such as `Examples:` is a head; what follows keeps its lines.
fn sections(help: &str) -> String {
    let mut text = String::new();
    for paragraph in help.split("\n\n") {
        let (head, lines) = match paragraph.split_once(":\n") {
            Some((head, lines)) if head.split(' ').count() < 3 => (head, lines),
            Some(_) | None => ("Notes", paragraph),
        };
        text += &format!(".SH {}\n.nf\n", head.to_uppercase());
        text.extend(lines.lines().map(|line| format!("\\&{}\n", escaped(line))));
        text += ".fi\n";
    }
    text
}

/// In roff a backslash begins a command, and a plain `-` is a hyphen, which can't be copied into a shell.
fn escaped(line: &str) -> String {
    line.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_page_names_the_verb_and_the_version() {
        let mut verb = Command::new("mprun").subcommand(Command::new("do"));
        verb.build();
        let text = text(&verb, &page(verb.find_subcommand("do").unwrap())).unwrap();
        let head = format!(".TH MPRUN-DO 1  \"mprun {}\" mprun\n", env!("CARGO_PKG_VERSION"));
        assert!(
            String::from_utf8(text.clone()).unwrap().contains(&head),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }

    #[test]
    fn what_follows_the_options_keeps_its_lines_under_heads() {
        let help = "Examples:\n  a -b   'x\\n'\n  .c\n\nMore of it, and so on:\nin two lines.";
        let page = ".SH EXAMPLES\n.nf\n\\&  a \\-b   'x\\en'\n\\&  .c\n.fi\n.SH NOTES\n.nf\n\\&More of it, and so on:\n\\&in two lines.\n.fi\n";
        assert_eq!(sections(help), page);
    }
}
