//! What a service may not do. As much is taken away as stages can do without: they are any program, so they keep the
//! network, memory that is both writable and executable (for languages that compile as they run), and `/proc`.

use super::escape::path;
use super::{Account, NotExpressible, Unit};
use std::path::Path;

/// What stages see of `/home`, `/root` and `/run/user`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Homes {
    /// Nothing.
    #[default]
    Hidden,
    /// All that they have the rights to read.
    ReadOnly,
}

impl Homes {
    /// What it takes to read a file.
    pub fn for_path(path: &Path) -> Homes {
        let below = ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
        if below { Homes::ReadOnly } else { Homes::Hidden }
    }
}

/// Filters of system calls work for everybody, also without root.
const FOR_ALL: [&str; 8] = [
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM",
];

/// Views of the system, which only the system's manager can set up.
const FOR_SYSTEM: [&str; 13] = [
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "UMask=0027",
];

/// What it takes to start a stage as another user, and to end it.
const TO_CHANGE_USERS: &str = "CAP_SETUID CAP_SETGID CAP_KILL";

pub(super) fn write(unit: &Unit, line: &mut impl FnMut(&str)) -> Result<(), NotExpressible> {
    match &unit.account {
        Account::Managers => {}
        Account::Own => line("DynamicUser=yes"),
        Account::Named(user) => line(&format!("User={user}")),
    }
    FOR_ALL.iter().for_each(|setting| line(setting));
    if unit.account == Account::Managers {
        return Ok(());
    }
    line(&format!("CapabilityBoundingSet={}", if unit.changes_users { TO_CHANGE_USERS } else { "" }));
    FOR_SYSTEM.iter().for_each(|setting| line(setting));
    line(match unit.homes {
        Homes::Hidden => "ProtectHome=yes",
        Homes::ReadOnly => "ProtectHome=read-only",
    });
    for writable in &unit.writable {
        line(&format!("ReadWritePaths={}", path(writable)?));
    }
    Ok(())
}
