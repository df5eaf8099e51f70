//! The whole jobs and recipes of docs/, run as they stand there, against real servers.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::docs_page::folder_of;
use support::nginx::free_port;
use support::server::{Reply, Server as HttpServer};
use support::{Folder, Run, command, process, wait_until};

/// A server of Debian's that a test needs. Without it the test has failed: a silent pass would say more than was shown.
fn program(name: &str, places: &[&str]) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(places.iter().copied()).chain(["/usr/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{name} is not there: tests/run installs it"))
}

/// A server, which ends with its test.
struct Server(Child, i32);

impl Server {
    /// `end`: the signal that ends it at once.
    fn start(command: &mut Command, end: i32) -> Server {
        Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), end)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::kill(self.0.id(), self.1);
        let _ = self.0.wait();
    }
}

fn run_file(folder: Folder, file: &str, environment: &[(&str, &str)]) -> Run {
    let mut command = command(&folder);
    command.args(["run", file]).envs(environment.iter().copied());
    Run::of(folder, command)
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn five_thousand_files_are_hashed_into_a_csv_whoever_is_killed() {
    const FILES: usize = 5000;
    let folder = folder_of("hash-files.md");
    for n in 0..FILES {
        folder.file(&format!("files/{}/a, \"{n}\"", n % 50), &"x".repeat(n));
    }
    let at = folder.path().to_owned();
    let link = |name: &str| {
        std::os::unix::fs::symlink("../elsewhere/".to_owned() + name, at.join("files").join(name)).unwrap()
    };
    ["late", "lost"].into_iter().for_each(link);
    let check = command(&folder).args(["check", "hash.toml"]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let mut run = run_file(folder, "hash.toml", &[]);
    let rows = || fs::read_to_string(at.join("hashes.csv")).unwrap_or_default();
    let mut kills = 0;
    while kills < 6 {
        let before = rows().lines().count();
        wait_until("more rows", || (rows().lines().count() > before || before > FILES).then_some(()));
        kills +=
            run.workers("hash").into_iter().take(1).filter(|&pid| process::kill(pid, libc::SIGKILL)).count();
        assert!(before <= FILES, "it is through before {kills} kills");
    }
    run.folder.file("elsewhere/late", "here");
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert!(run.stderr().contains("`files/lost` is a dead letter"), "{}", run.stderr());
    run.folder.file("elsewhere/lost", "found");
    run.tell(&["dead", "retry", "hash.toml", "--all"]);
    let mut sums = Command::new("sh");
    sums.current_dir(&at).args(["-c", "find files -print0 | sort -z | xargs -0 sh -c 'for f; do test ! -f \"$f\" || sha256sum < \"$f\"; done' sh"]);
    let mut wanted: Vec<String> = said(&mut sums).lines().map(|line| line[..64].to_owned()).collect();
    let table = rows();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("path,bytes,sha256"));
    // A header that came again would be a row without a sum.
    let mut got: Vec<String> = lines.map(|line| line.rsplit(',').next().unwrap().to_owned()).collect();
    wanted.sort();
    got.sort();
    assert_eq!(wanted.len(), FILES + 2);
    assert_eq!(got, wanted);
    assert!(table.contains("\n\"files/7/a, \"\"7\"\"\",7,"), "the names are quoted as CSV has them");
}

#[test]
fn logs_are_followed_parsed_and_routed_while_the_endpoint_fails_and_workers_are_killed() {
    const LINES: usize = 3000;
    let endpoint = HttpServer::start(|one| match one.number % 7 {
        2 => Reply::status("503 Service Unavailable"),
        4 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha".into()),
        5 => Reply::Say("HTTP/1.1 429 Too Many\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".into()),
        _ => Reply::ok(),
    });
    let folder = folder_of("route-logs.md");
    let at = folder.path().to_owned();
    let line = |n: usize| match n % 10 {
        3 => format!("no access log {n}"),
        5 => format!("10.0.0.1 GET /{n} 503 12"),
        7 => format!("10.0.0.1 GET /{n} 404 5000"),
        9 => format!("10.0.0.1 POST /{n} 200 2000"),
        _ => format!("10.0.0.1 GET /{n} 200 3"),
    };
    folder.file("logs/access.log", "");
    let token = "s3cret";
    let mut run = run_file(folder, "route.toml", &[("ENDPOINT", &endpoint.url()), ("TOKEN", token)]);
    let mut kills = 0;
    for part in 0..10 {
        let mut log =
            fs::OpenOptions::new().append(true).create(true).open(at.join("logs/access.log")).unwrap();
        let lines = (1..=LINES).filter(|n| n % 10 == part).map(|n| line(n) + "\n").collect::<String>();
        std::io::Write::write_all(&mut log, lines.as_bytes()).unwrap();
        if part % 3 == 1 {
            fs::rename(at.join("logs/access.log"), at.join(format!("logs/access-{part}.log"))).unwrap();
        }
        for stage in ["parse", "sort", "tell", "slow"].into_iter().filter(|_| part % 2 == 0) {
            let worker = run.worker(stage);
            kills += usize::from(process::kill(worker, libc::SIGKILL));
        }
    }
    assert!(kills >= 20, "only {kills} kills");
    let numbers = |name: &str, field: &str| {
        let text = fs::read_to_string(at.join(name)).unwrap_or_default();
        // The last line may be on its way still.
        let number = |line: &str| line.split(field).nth(1)?.split('"').next()?.parse().ok();
        let mut all: Vec<usize> = text.lines().filter_map(number).collect();
        all.sort_unstable();
        all
    };
    let of = |last: usize| (1..=LINES).filter(|n| n % 10 == last).collect::<Vec<_>>();
    let alarmed = || {
        let mut keys = BTreeMap::new();
        for one in endpoint.asked() {
            assert_eq!(one.header("authorization").as_deref(), Some("Bearer s3cret"));
            let before = keys.insert(one.key(), one.body.clone());
            assert!(before.is_none_or(|before| before == one.body));
        }
        keys
    };
    wait_until("all of it", || {
        let files = [("refused.jsonl", "/"), ("slow.jsonl", "/"), ("strange.txt", "log ")]
            .map(|(name, field)| numbers(name, field).len());
        (alarmed().len() == LINES / 10 && files == [LINES / 10; 3]).then_some(())
    });
    assert_eq!(numbers("refused.jsonl", "/"), of(7));
    assert_eq!(numbers("slow.jsonl", "/"), of(9));
    assert_eq!(numbers("strange.txt", "log "), of(3));
    let strange = fs::read_to_string(at.join("strange.txt")).unwrap();
    assert_eq!(strange.lines().count(), LINES / 10, "only lines that are no access log");
    let mut alarms: Vec<usize> = alarmed()
        .values()
        .map(|body| body.split('/').nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
        .collect();
    alarms.sort_unstable();
    assert_eq!(alarms, of(5));
    run.signal(libc::SIGTERM);
    run.wait();
    assert!(!run.stderr().contains(token), "{}", run.stderr());
}

/// A cluster of its own. PostgreSQL refuses to run as root.
struct Postgres {
    server: Option<Server>,
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    fn new(at: &Path) -> Postgres {
        let newest = fs::read_dir("/usr/lib/postgresql")
            .ok()
            .and_then(|all| all.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).max());
        let newest = newest.unwrap_or_default();
        let initdb = program("initdb", &[newest.to_str().unwrap()]);
        let folder = at.join("cluster");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            said(Command::new("chown").arg("postgres").arg(&folder));
        }
        let postgres = Postgres {
            server: None,
            folder,
            programs: initdb.parent().unwrap().to_owned(),
            port: free_port(),
        };
        said(
            postgres
                .program("initdb")
                .args(["-U", "shop", "-A", "trust", "--no-sync", "-D"])
                .arg(&postgres.folder),
        );
        postgres
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = Command::new(if is_root() { Path::new("setpriv") } else { &program });
        if is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
        }
        command.current_dir("/");
        command
    }

    fn start(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(&self.folder).args(["-p", &self.port.to_string(), "-h", "127.0.0.1"]);
        command.arg("-k").arg(&self.folder).args(["-c", "fsync=off"]);
        self.server = Some(Server::start(&mut command, libc::SIGQUIT));
        wait_until("PostgreSQL", || self.psql("SELECT 1").status().ok().filter(|status| status.success()));
    }

    fn environment(&self) -> [(&'static str, String); 4] {
        let port = self.port.to_string();
        [
            ("PGHOST", "127.0.0.1".into()),
            ("PGPORT", port),
            ("PGUSER", "shop".into()),
            ("PGDATABASE", "postgres".into()),
        ]
    }

    fn psql(&self, statement: &str) -> Command {
        let mut command = Command::new(program("psql", &[]));
        command
            .args(["-X", "-q", "-A", "-t", "-c", statement])
            .envs(self.environment())
            .stderr(Stdio::null());
        command.stdout(Stdio::null());
        command
    }

    fn ask(&self, statement: &str) -> String {
        said(self.psql(statement).stdout(Stdio::piped()))
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn rows_are_copied_into_postgresql_each_once_while_it_goes_away_and_workers_are_killed() {
    const ROWS: usize = 20_000;
    let folder = folder_of("recipes.md");
    let mut postgres = Postgres::new(folder.path());
    postgres.start();
    postgres.ask("CREATE TABLE events (id int PRIMARY KEY, what text)");
    let row = |n: usize| {
        if n == 777 {
            "777,\"torn\n".to_owned().replace('\n', "")
        } else {
            format!("{n},\"it's \"\"{n}\"\"\"")
        }
    };
    let rows: String = (1..=ROWS).map(|n| row(n) + "\n").collect();
    folder.file("events.csv", &rows);
    let environment = postgres.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut run = run_file(folder, "postgres.toml", &environment);
    wait_until("some rows", || (postgres.ask("SELECT count(*) FROM events").trim() != "0").then_some(()));
    let killed = run.workers("load").into_iter().filter(|&pid| process::kill(pid, libc::SIGKILL)).count();
    assert!(killed > 0, "{}", run.stderr());
    drop(postgres.server.take());
    std::thread::sleep(std::time::Duration::from_millis(300));
    postgres.start();
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let counts = postgres.ask("SELECT count(*), min(id), max(id) FROM events");
    assert_eq!(counts.trim(), format!("{}|1|{ROWS}", ROWS - 1));
    assert_eq!(postgres.ask("SELECT what FROM events WHERE id = 5").trim(), "it's \"5\"");
    let letters = run.tell(&["dead", "list", "postgres.toml", "--json"]);
    assert!(letters.contains("777,"), "{letters}");
}

#[test]
fn a_redis_list_is_filled_and_emptied() {
    let folder = folder_of("recipes.md");
    let port = free_port();
    let at = folder.path().to_owned();
    let redis = |port: u16| {
        let mut command = Command::new(program("redis-server", &[]));
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(&at);
        let server = Server::start(&mut command, libc::SIGTERM);
        wait_until("Redis", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        server
    };
    let server = redis(port);
    let url = format!("redis://127.0.0.1:{port}");
    let jobs: Vec<String> = (1..=200).map(|n| format!("job {n} \"'$x é")).collect();
    folder.file("jobs.txt", &(jobs.join("\n") + "\n"));
    let mut run = run_file(folder, "to_redis.toml", &[("REDIS_URL", &url)]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let folder = folder_of("recipes.md");
    let mut run = run_file(folder, "from_redis.toml", &[("REDIS_URL", &url)]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let out = fs::read_to_string(run.folder.path().join("out.txt")).unwrap();
    let mut all: Vec<&str> = out.lines().collect();
    let mut wanted: Vec<&str> = jobs.iter().map(String::as_str).collect();
    all.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(all, wanted);
    drop(server);
}

#[test]
fn lines_go_to_syslog() {
    let folder = folder_of("recipes.md");
    let at = folder.path().display().to_string();
    let settings = folder.file(
        "rsyslog.conf",
        &format!(
            "module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{at}/log\" RateLimit.Interval=\"0\")\n\
             template(name=\"plain\" type=\"string\" string=\"%syslogtag% %syslogpriority-text%%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{at}/syslog\" template=\"plain\")\n"
        ),
    );
    let mut command = Command::new(program("rsyslogd", &[]));
    command.args(["-n", "-i", &format!("{at}/pid"), "-f"]).arg(settings);
    let server = Server::start(&mut command, libc::SIGTERM);
    let socket = folder.path().join("log");
    wait_until("rsyslog", || socket.exists().then_some(()));
    let lines: Vec<String> = (1..=500).map(|n| format!("event {n} é")).collect();
    folder.file("events.txt", &(lines.join("\n") + "\n"));
    let mut run = run_file(folder, "syslog.toml", &[("SYSLOG_SOCKET", socket.to_str().unwrap())]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let written = run.folder.path().join("syslog");
    let seen = wait_until("all lines", || {
        let text = fs::read_to_string(&written).unwrap_or_default();
        (text.lines().count() >= 500).then_some(text)
    });
    let counted = seen.lines().fold(BTreeMap::new(), |mut all, line| {
        *all.entry(line.to_owned()).or_insert(0) += 1;
        all
    });
    assert_eq!(counted.len(), 500);
    assert_eq!(counted.get("shop: notice event 7 é"), Some(&1), "{seen}");
    drop(server);
}
