use super::*;
use crate::config::{self, LoadOptions};
use crate::stage::Registry;

#[test]
fn the_template_that_ships_is_the_one_made_here() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/mprun@.service");
    let text = Unit::template().text().unwrap();
    if std::env::var_os("MPRUN_WRITE_DIST").is_some() {
        std::fs::write(shipped, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(shipped).unwrap(), text, "write it anew with MPRUN_WRITE_DIST=1");
}

fn unit() -> Unit {
    let text = "name = 'demo'\ndrain_timeout = '5m'\n[stages.a]\nuse = 'tick'\nwith = { every = '1s' }\nstop_timeout = '20s'\n\
                [stages.b]\nuse = 'tick'\nwith = { every = '1s' }\n";
    let path = std::env::temp_dir().join(format!("mprun-unit-{:x}.toml", fastrand::u64(..)));
    std::fs::write(&path, text).unwrap();
    let loaded = config::load(&path, &LoadOptions::default(), &Registry::builtin());
    std::fs::remove_file(&path).unwrap();
    let pipeline = loaded.unwrap().pipeline;
    Unit::of(&pipeline, "/opt/my tools/mprun".into(), "/home/me/50%.toml".into(), Account::Own, 252)
}

#[test]
fn a_unit_fits_its_file() {
    let text = unit().text().unwrap();
    for line in [
        "Type=notify",
        "Description=mprun pipeline demo",
        "ExecStart=\"/opt/my tools/mprun\" run /home/me/50%%.toml",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "StateDirectory=mprun/demo",
        "TimeoutStopSec=330",
        "ProtectHome=read-only",
        "DynamicUser=yes",
        "CapabilityBoundingSet=",
        "WantedBy=multi-user.target",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(text.starts_with(MARK));
}

#[test]
fn a_newer_systemd_sends_the_signal_itself_and_keeps_the_store() {
    let text = Unit { systemd: 257, ..unit() }.text().unwrap();
    assert!(text.contains("Type=notify-reload\n") && !text.contains("kill -HUP"), "{text}");
    assert!(text.contains("FileDescriptorStorePreserve=yes"), "{text}");
}

#[test]
fn a_user_s_unit_asks_for_nothing_that_takes_root() {
    let text = Unit { account: Account::Managers, ..unit() }.text().unwrap();
    for setting in ["User=", "Protect", "Private", "Capability", "ReadWritePaths"] {
        assert!(!text.contains(setting), "{setting} in\n{text}");
    }
    assert!(text.contains("WantedBy=default.target"));
}

#[test]
fn stages_of_other_users_take_some_of_root_s_rights() {
    let unit = Unit { account: Account::Named("root".into()), changes_users: true, ..unit() };
    let text = Unit { writable: vec!["/srv/out put".into()], ..unit }.text().unwrap();
    for line in [
        "User=root",
        "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL",
        "ReadWritePaths=\"/srv/out put\"",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
}
