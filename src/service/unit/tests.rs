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
    Unit::of(
        &pipeline,
        &Paths::default(),
        "/opt/my tools/mprun".into(),
        "/home/me/50%.toml".into(),
        Account::Own,
        252,
    )
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
fn a_unit_grants_the_folders_that_the_file_writes_and_no_more() {
    let text = "[control]\nsocket = 'run/s.sock'\n\
                [stages.a]\nuse = 'tick'\nwith = { every = '1s' }\noutput = ['p', 'q', 'r', 's']\nlog_file = { path = 'logs/{stage}.log' }\n\
                [stages.b]\nuse = 'file'\ninput = 'p'\nwith = { path = '/srv/out/{date}/x-{worker}.txt' }\n\
                [stages.c]\nuse = 'file'\ninput = 'q'\nwith = { path = '/srv/out/more/x.txt' }\n\
                [stages.d]\nuse = 'file'\ninput = 'r'\nwith = { path = '/dev/stderr' }\n\
                [stages.e]\nuse = 'file'\ninput = 's'\nwith = { path = '/x.txt' }\n\
                [stages.f]\ncommand = ['/var/tmp/tool', '/srv/unknown']\ncwd = '/tmp/f'\nlog_file = { path = '/tmp/f/f.log' }\n";
    let texts = config::Texts { main: text.to_owned(), ..Default::default() };
    let registry = Registry::builtin();
    let loaded = config::load_texts("/etc/mprun/p.toml".as_ref(), texts, &LoadOptions::default(), &registry);
    let pipeline = loaded.unwrap_or_else(|report| panic!("{report}")).pipeline;
    let paths = Paths::of(&pipeline, &registry);
    let shown = |paths: &mut dyn Iterator<Item = &PathBuf>| -> Vec<String> {
        paths.map(|path| path.display().to_string()).collect()
    };
    let written = ["/etc/mprun/logs", "/etc/mprun/run", "/srv/out", "/tmp/f", "/x.txt"];
    assert_eq!(shown(&mut paths.written.iter()), written);
    assert_eq!(shown(&mut paths.hidden()), ["/tmp/f", "/var/tmp/tool"]);
    let unit =
        Unit::of(&pipeline, &paths, "/usr/bin/mprun".into(), "/etc/mprun/p.toml".into(), Account::Own, 252);
    let text = unit.text().unwrap();
    let granted: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=")).collect();
    assert_eq!(granted, ["/etc/mprun/logs", "/etc/mprun/run", "/srv/out", "/x.txt"]);
}

#[test]
fn a_unit_never_runs_beside_the_template_s_of_its_name_or_file() {
    let lines = |unit: Unit| {
        let text = unit.text().unwrap();
        let found = text.lines().filter(|line| line.starts_with("Conflicts=") || line.contains("=mprun@"));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let named = ["Conflicts=mprun@demo.service", "After=mprun@demo.service"];
    assert_eq!(lines(unit()), named);
    let file = || Unit { file: "/etc/mprun/shop.toml".into(), ..unit() };
    assert_eq!(lines(file())[0], "Conflicts=mprun@demo.service mprun@shop.service");
    assert_eq!(
        lines(Unit { shares_queues: true, ..file() }),
        named,
        "several may have the file, not the folders"
    );
    assert_eq!(lines(Unit { account: Account::Managers, ..file() }), [""; 0]);
    assert_eq!(lines(Unit::template()), ["Conflicts=mprun-%i.service"]);
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
