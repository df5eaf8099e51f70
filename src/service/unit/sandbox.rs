//! What a service may not do. As much is taken away as stages can do without: they are any program, so they keep the
//! network, memory that is both writable and executable (for languages that compile as they run), and `/proc`.

use std::path::Path;

/// What stages see of `/home`, `/root` and `/run/user`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Homes {
    /// Nothing.
    #[default]
    Hidden,
    /// All that they have the rights to read.
    ReadOnly,
}

impl Homes {
    /// What it takes to read a file.
    pub(crate) fn for_path(path: &Path) -> Homes {
        let below = ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
        if below { Homes::ReadOnly } else { Homes::Hidden }
    }
}

/// Filters of system calls work for everybody, also without root.
pub(super) const FOR_ALL: [&str; 8] = [
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
pub(super) const FOR_SYSTEM: [&str; 13] = [
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
pub(super) const TO_CHANGE_USERS: &str = "CAP_SETUID CAP_SETGID CAP_KILL";
