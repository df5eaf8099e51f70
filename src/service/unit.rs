//! The systemd unit of a pipeline, as text. The template that ships with the project comes from here, too.

mod escape;
pub(crate) mod paths;
mod sandbox;

use crate::config::Pipeline;
use escape::{path, word};
use paths::{Paths, is_private};
use sandbox::{FOR_ALL, FOR_SYSTEM, TO_CHANGE_USERS};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use escape::NotExpressible;
pub(crate) use sandbox::Homes;

/// The first line of every unit that is written here; units from elsewhere lack it.
pub(crate) const MARK: &str =
    "# Written by mprun. Changes belong into a drop-in (systemctl edit), or are lost.";

/// Between the moment when everything should have ended and the one when systemd kills.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// A supervisor whose loop doesn't turn for so long is killed.
const WATCHDOG: Duration = Duration::from_secs(30);
/// Descriptors that the store may hold: the queues' memory, and room for a version that splits it.
const STORE_CAPACITY: u32 = 16;
/// The exit codes of a bad file and of a run that is done, with dead letters: another start changes neither.
const BAD_FILE: u8 = crate::exit::USAGE;
const WITH_DEAD_LETTERS: u8 = crate::exit::DEAD_LETTERS;

/// The user that the service runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// A user that exists only while the service runs.
    Own,
    /// This one.
    Named(String),
    /// The user of the service manager (`systemctl --user`).
    Managers,
}

/// All that a unit depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// What it is called: the pipeline's name.
    pub name: String,
    /// The mprun to run, absolute.
    pub program: PathBuf,
    /// The pipeline file, absolute.
    pub file: PathBuf,
    /// The user that it runs as.
    pub account: Account,
    /// Several may run the file: its queues are in a broker.
    pub shares_queues: bool,
    /// Stages change to users of their own: that takes root, and some of its rights.
    pub changes_users: bool,
    /// What stages see of the homes of users.
    pub homes: Homes,
    /// Files and folders that stages may write to, besides the service's own.
    pub writable: Vec<PathBuf>,
    /// How long a stop may take: draining, and the end of the slowest stage.
    pub stop: Duration,
    /// The systemd that will read it: 252 and before know less.
    pub systemd: u32,
}

impl Unit {
    /// For a pipeline that is good.
    pub(crate) fn of(
        pipeline: &Pipeline,
        paths: &Paths,
        program: PathBuf,
        file: PathBuf,
        account: Account,
        systemd: u32,
    ) -> Unit {
        let slowest = pipeline.stages.iter().map(|stage| stage.rules.stop_timeout).max();
        let mut programs = pipeline.stages.iter().filter_map(|stage| stage.work.command());
        let named = [&program, &file].into_iter().chain(&paths.written).chain(&paths.read);
        let homes = named.map(|path| Homes::for_path(path)).max();
        Unit {
            name: pipeline.name.clone(),
            account,
            shares_queues: pipeline.broker.is_some(),
            changes_users: programs.any(|command| command.user.is_some() || command.group.is_some()),
            homes: homes.unwrap_or_default(),
            program,
            file,
            writable: paths.written.iter().filter(|path| !is_private(path)).cloned().collect(),
            stop: pipeline.drain_timeout + slowest.unwrap_or_default(),
            systemd,
        }
    }

    /// `mprun@NAME.service` runs `/etc/mprun/NAME.toml`. Every systemd from 252 on reads it without a word.
    pub(crate) fn template() -> Unit {
        Unit {
            name: "%i".to_owned(),
            program: "/usr/bin/mprun".into(),
            file: "/etc/mprun/%i.toml".into(),
            account: Account::Own,
            shares_queues: false,
            changes_users: false,
            homes: Homes::Hidden,
            writable: Vec::new(),
            stop: Duration::from_secs(40),
            systemd: 252,
        }
    }

    /// The template's units that have the same folders, or run the same file. The template is one of the system's.
    pub(crate) fn instances(&self) -> Vec<String> {
        if self.account == Account::Managers {
            return Vec::new();
        }
        let file = self.file.strip_prefix("/etc/mprun").ok().and_then(Path::to_str);
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let of_file = file.and_then(|file| file.strip_suffix(".toml")).filter(|name| name.chars().all(fits));
        let of_file = of_file.filter(|name| !self.shares_queues && *name != self.name);
        let names = [Some(self.name.as_str()), of_file];
        names.into_iter().flatten().map(|name| format!("mprun@{name}.service")).collect()
    }

    /// What systemd calls it.
    pub(crate) fn file_name(name: &str) -> String {
        format!("mprun-{name}.service")
    }

    /// The whole text.
    ///
    /// # Errors
    /// When a path or name can't be written into a unit.
    pub(crate) fn text(&self) -> Result<String, NotExpressible> {
        let mut text = format!("{MARK}\n\n");
        self.write(&mut text)?;
        Ok(text)
    }

    fn write(&self, out: &mut String) -> Result<(), NotExpressible> {
        let is_template = *self == Unit::template();
        let spell = |path: &Path| if is_template { Ok(path.display().to_string()) } else { word(path) };
        let name = &self.name; // fit for a unit as it is: letters, digits and a few marks
        let (program, file) = (spell(&self.program)?, spell(&self.file)?);
        let mut line = |text: &str| writeln!(out, "{text}").unwrap_or_default();
        line("[Unit]");
        line(&format!("Description=mprun pipeline {name}"));
        line("After=network.target");
        let others = self.others();
        if !others.is_empty() {
            line(
                "# Units that have the same folders, or run the same file: the start of one stops the other first.",
            );
            line(&format!("Conflicts={}", others.join(" ")));
            // All ends of these edges name the template first: no order goes round in a circle.
            line(&format!("{}={}", if is_template { "Before" } else { "After" }, others.join(" ")));
        }
        line("");
        line("[Service]");
        self.protocol(&program, &file, &mut line);
        self.endings(&mut line);
        line(&format!("StateDirectory=mprun/{name}"));
        line(&format!("RuntimeDirectory=mprun/{name}\n"));
        self.sandbox(&mut line)?;
        line("\n[Install]");
        line(match self.account {
            Account::Managers => "WantedBy=default.target",
            Account::Own | Account::Named(_) => "WantedBy=multi-user.target",
        });
        Ok(())
    }

    /// What may not run beside it.
    fn others(&self) -> Vec<String> {
        if *self == Unit::template() { vec![Unit::file_name(&self.name)] } else { self.instances() }
    }

    fn protocol(&self, program: &str, file: &str, line: &mut impl FnMut(&str)) {
        let sends_signal = self.systemd >= 253; // and waits for the answer
        line(if sends_signal { "Type=notify-reload" } else { "Type=notify" });
        line("NotifyAccess=main");
        line(&format!("ExecStart={program} run {file}"));
        line("# A bad file changes nothing; the check makes `systemctl reload` say so.");
        line(&format!("ExecReload={program} check {file}"));
        if !sends_signal {
            line("ExecReload=/bin/kill -HUP $MAINPID");
        }
        line(&format!("WatchdogSec={}", WATCHDOG.as_secs()));
        line(&format!("FileDescriptorStoreMax={STORE_CAPACITY}"));
        if self.systemd >= 254 {
            line("FileDescriptorStorePreserve=yes");
        }
    }

    fn endings(&self, line: &mut impl FnMut(&str)) {
        line("# The supervisor gets the signal, and lets its workers finish; what is left then, is killed.");
        line("KillMode=mixed");
        line(&format!("TimeoutStopSec={}", (self.stop + STOP_MARGIN).as_secs()));
        line("Restart=on-failure");
        line("RestartSec=1");
        line(&format!("RestartPreventExitStatus={BAD_FILE}"));
        line("# Done, with dead letters.");
        line(&format!("SuccessExitStatus={WITH_DEAD_LETTERS}"));
        line("# A worker that is out of memory is started again; that is no reason to stop the others.");
        line("OOMPolicy=continue");
    }

    fn sandbox(&self, line: &mut impl FnMut(&str)) -> Result<(), NotExpressible> {
        match &self.account {
            Account::Managers => {}
            Account::Own => line("DynamicUser=yes"),
            Account::Named(user) => line(&format!("User={user}")),
        }
        FOR_ALL.iter().for_each(|setting| line(setting));
        if self.account == Account::Managers {
            return Ok(());
        }
        line(&format!("CapabilityBoundingSet={}", if self.changes_users { TO_CHANGE_USERS } else { "" }));
        FOR_SYSTEM.iter().for_each(|setting| line(setting));
        line(match self.homes {
            Homes::Hidden => "ProtectHome=yes",
            Homes::ReadOnly => "ProtectHome=read-only",
        });
        for writable in &self.writable {
            line(&format!("ReadWritePaths={}", path(writable)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
