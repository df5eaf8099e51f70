//! A server that is away for a while, and workers that are killed all at once: nothing is lost, nothing spins.

mod support;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Run, process, wait_until};

/// A real web server, of this folder and port.
struct Nginx(Child);

impl Nginx {
    fn start(folder: &Folder, port: u16) -> Nginx {
        let at = folder.path().display().to_string();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/nginx-{what};"))
            .join(" ");
        let settings = folder.file(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log; events {{}}\n\
                 http {{ access_log off; {temp} server {{ listen 127.0.0.1:{port}; return 200 'ok'; }} }}\n"
            ),
        );
        let mut command = Command::new("nginx");
        command.args(["-p", &at, "-e", "nginx.log", "-c"]).arg(settings);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx is installed");
        wait_until("the server", || TcpStream::connect(("127.0.0.1", port)).ok());
        Nginx(child)
    }

    fn stop(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn while_a_server_is_away_its_items_wait_and_go_on_soon_after_its_return() {
    const ITEMS: usize = 60;
    let (folder, port) = (Folder::new(), free_port());
    let nginx = Nginx::start(&folder, port);
    folder.file(
        "pipeline.toml",
        &format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {ITEMS} }}\noutput = 'a'\n\
             [stages.ask]\nmode = 'each'\nprocesses = 4\ninput = 'a'\noutput = 'b'\nattempts = 1000000\n\
             retry = {{ delay = '200ms', max = '1s' }}\n\
             command = 'read n; echo $n >> tries; curl -sf http://127.0.0.1:{port}/$n > /dev/null && echo $n && sleep 0.05'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
    let path = folder.path().to_owned();
    let tries = move || std::fs::read_to_string(path.join("tries")).unwrap_or_default().lines().count();
    let mut run = Run::in_folder(folder, &[]);
    wait_until("some answers", || (run.lines().len() >= 8).then_some(()));
    nginx.stop();
    wait_until("a failure of each that is left", || {
        let counts = run.tell(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&counts).unwrap();
        let queue = &status["queues"][0];
        (queue["waiting"] == 0 && queue["delayed"].as_u64() > Some(20)).then_some(())
    });
    let (before, since) = (tries(), Instant::now());
    wait_until("two seconds of it", || (since.elapsed() >= Duration::from_secs(2)).then_some(()));
    let spent = tries() - before;
    // Each of them every half second at the most.
    assert!(spent <= ITEMS * 5, "{spent} tries in {:?}", since.elapsed());
    let (done, nginx) = (run.lines().len(), Nginx::start(&run.folder, port));
    let back = Instant::now();
    wait_until("the next answer", || (run.lines().len() > done).then_some(()));
    assert!(back.elapsed() < Duration::from_secs(2), "it went on after {:?}", back.elapsed());
    let mut lines: Vec<usize> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=ITEMS).collect::<Vec<_>>());
    nginx.stop();
}

#[test]
fn a_kill_of_all_workers_at_once_loses_nothing_and_the_stage_does_not_give_up() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 400 }\noutput = 'a'\n\
         [stages.work]\nprocesses = 20\nuse = 'format'\nwith = { template = '{item}' }\nsleep = '50ms'\ninput = 'a'\n\
         output = 'b'\n\
         [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'b'\n",
    );
    wait_until("some work", || (run.lines().len() >= 20).then_some(()));
    let workers = run.workers("work");
    assert_eq!(workers.len(), 20);
    workers.into_iter().for_each(|worker| _ = process::kill(worker, libc::SIGKILL));
    let mut lines: Vec<usize> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=400).collect::<Vec<_>>(), "{}", run.stderr());
}
