//! The systemd of this machine, by its own tool.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which of its managers: the system's, or that of the user who runs this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// It starts with the machine.
    System,
    /// It starts with the user's first session.
    User,
}

impl Scope {
    /// What `systemctl` and `journalctl` take for it, with a space.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Scope::System => "",
            Scope::User => "--user ",
        }
    }

    /// Where units are that were not installed by a package.
    ///
    /// # Errors
    /// When there is no home to have them in.
    pub(crate) fn folder(self) -> Result<PathBuf, &'static str> {
        match self {
            Scope::System => Ok("/etc/systemd/system".into()),
            Scope::User => users_folder(|name| std::env::var_os(name).map(PathBuf::from))
                .ok_or("neither $XDG_CONFIG_HOME nor $HOME is set"),
        }
    }
}

fn users_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Some(config?.join("systemd/user"))
}

/// Whether systemd runs this machine.
pub(crate) fn is_here() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Its version, if it is installed.
pub(crate) fn version() -> Option<u32> {
    let output = Command::new("systemctl").arg("--version").stderr(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `systemd 252 (252.38-1~deb12u1)`
fn parse_version(text: &str) -> Option<u32> {
    let second = text.split_whitespace().nth(1)?;
    second.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Runs `systemctl`; what it says goes to standard error, for standard output is for results.
///
/// # Errors
/// The command line as a person would type it, and what it came to.
pub(crate) fn systemctl(scope: Scope, arguments: &[&str]) -> Result<(), String> {
    let line = format!("systemctl {}{}", scope.option(), arguments.join(" "));
    let mut command = Command::new("systemctl");
    command.args(scope.option().split_whitespace()).args(arguments).stdin(Stdio::null());
    command.stdout(io::stderr());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{line}` could not be run: {error}")),
    }
}

/// Whether a unit runs, or will with the machine. What can't be asked is not.
pub(crate) fn is_used(scope: Scope, unit: &str) -> bool {
    ["is-active", "is-enabled"].iter().any(|question| {
        let mut command = Command::new("systemctl");
        command
            .args(scope.option().split_whitespace())
            .args([question, "--quiet", unit])
            .stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_distributions_are_read() {
        assert_eq!(parse_version("systemd 252 (252.38-1~deb12u1)\n+PAM"), Some(252));
        assert_eq!(parse_version("systemd 257.7-1.fc42"), Some(257));
        assert_eq!(parse_version("systemd 258~rc1 (x)"), Some(258));
        assert_eq!(parse_version("no such command"), None);
    }

    #[test]
    fn a_user_s_units_are_in_the_user_s_configuration() {
        let of = |pairs: &[(&str, &str)]| {
            users_folder(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, path)| path.into()))
        };
        assert_eq!(of(&[("HOME", "/h")]), Some("/h/.config/systemd/user".into()));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]), Some("/c/systemd/user".into()));
        assert_eq!(of(&[]), None);
    }
}
