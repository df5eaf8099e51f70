//! The pictures of docs/pictures: the graph of the tutorial; from a real run `mprun top`, and a recording of it while a worker
//! is killed.
//! `UPDATE_PICTURES=1 cargo test --test pictures` draws them anew.

mod support;

use std::fs;
use std::process::Child;
use std::time::Duration;

use support::docs_page::folder_of;
use support::pty::Pty;
use support::terminal_svg::{Line, Recording, lines, still};
use support::{Folder, Run, command, process, project, wait_until};

const PIPELINE: &str = "\
[stages.orders]
use = 'count'
rate = '38/s'
output = 'orders'

[stages.price]
command = ['sh', '-c', 'while read -r n; do sleep 0.1; echo $((n * 7)); done']
mode = 'reply'
processes = 3
input = 'orders'
output = 'priced'

[stages.book]
use = 'discard'
input = 'priced'
";

const ROWS: u16 = 16;
const COLUMNS: u16 = 92;
/// The lines below the screen of `top`.
const SHELL_ROWS: usize = 9;
const MOST_BYTES: usize = 100_000;

fn is_update() -> bool {
    std::env::var_os("UPDATE_PICTURES").is_some()
}

/// The run, `top` on a terminal of its own, and what is typed beside it.
struct Scene {
    run: Run,
    top: Child,
    pty: Pty,
    shell: Vec<Line>,
    recording: Recording,
}

impl Scene {
    fn start() -> Scene {
        let folder = Folder::new();
        folder.file("shop.toml", PIPELINE);
        let mut shop = command(&folder);
        shop.args(["run", "shop.toml"]);
        let run = Run::of(folder, shop);
        wait_until("an answer", || (run.ask(&["status"]).code == Some(0)).then_some(()));
        let mut pty = Pty::open();
        pty.resize(ROWS, COLUMNS);
        let mut top = command(&run.folder);
        top.args(["top", "shop"]).env("TERM", "xterm-256color");
        pty.take(&mut top);
        let top = top.spawn().unwrap();
        Scene { run, top, pty, shell: Vec::new(), recording: Recording::default() }
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        wait_until(&format!("{part:?} on the screen:\n{}", self.pty.text()), || {
            self.pty.text().contains(part).then_some(())
        });
    }

    fn screen(&self) -> Vec<Line> {
        self.pty.look(lines)
    }

    /// The screen as it is, for so long, and once a second as it becomes.
    fn film(&mut self, seconds: u64) {
        for _ in 0..if is_update() { seconds } else { 1 } {
            let mut shown = self.screen();
            shown.push(Line::default());
            shown.extend(self.shell.iter().cloned());
            shown.resize(usize::from(ROWS) + 1 + SHELL_ROWS, Line::default());
            self.recording.add(shown, Duration::from_secs(1));
            if is_update() {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn type_and_film(&mut self, typed: &str, printed: &str) {
        self.shell.push(Line::typed(&format!("$ {typed}")));
        self.film(1);
        self.shell.extend(printed.lines().map(Line::plain));
        self.film(1);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.top.kill();
        let _ = self.top.wait();
    }
}

/// The process of the second worker, as `why` names it.
fn second_worker(why: &str) -> (String, u32) {
    let line = why.lines().find(|line| line.contains("price[1]")).unwrap().to_owned();
    let pid = line.rsplit(' ').next().unwrap().parse().unwrap();
    (line, pid)
}

/// A picture is not written over unless that is asked for: each run is another one.
fn keep(name: &str, svg: &str, words: &[&str]) {
    let path = project().join("docs/pictures").join(name);
    if is_update() {
        fs::write(&path, svg).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    for text in [svg, &kept] {
        assert!(text.len() < MOST_BYTES, "{name} has {} bytes", text.len());
        assert!(words.iter().all(|word| text.contains(word)), "{name} lacks one of {words:?}:\n{text}");
        assert!(!text.contains("/tmp/") && !text.contains("<script"), "{name} shows what it should not");
        assert_eq!(text.matches("<g").count(), text.matches("</g>").count(), "{name}");
    }
}

#[test]
fn the_graph_of_the_tutorial_is_that_of_its_file() {
    let folder = folder_of("tutorial.md");
    let drawn = command(&folder).args(["graph", "--format", "svg", "orders.toml"]).output().unwrap();
    let drawn = String::from_utf8(drawn.stdout).unwrap();
    keep("graph.svg", &drawn, &["price"]);
    let kept = fs::read_to_string(project().join("docs/pictures/graph.svg")).unwrap();
    assert_eq!(kept, drawn, "UPDATE_PICTURES=1 draws it anew");
}

#[test]
fn top_shows_how_a_killed_worker_is_replaced_and_nothing_is_lost() {
    let mut scene = Scene::start();
    scene.wait_for("price is the bottleneck");
    if is_update() {
        std::thread::sleep(Duration::from_secs(12));
    }
    let title = "mprun top: stages with their rates, queues, the bottleneck, the log";
    keep("top.svg", &still(title, COLUMNS.into(), &scene.screen()), &["price", "bottleneck"]);

    scene.film(2);
    let (line, pid) = second_worker(&scene.run.tell(&["why", "price"]));
    scene.type_and_film("mprun why price | grep 'price.1'", &line);
    scene.film(1);
    assert!(process::kill(pid, libc::SIGKILL));
    scene.type_and_film(&format!("kill -9 {pid}"), "");
    scene.wait_for("was killed by SIGKILL");
    scene.film(3);
    let audit = scene.run.tell(&["audit"]);
    assert!(audit.contains("every item is accounted for"), "{audit}");
    scene.type_and_film("mprun audit", &audit);
    scene.film(4);
    let title = "A worker is killed by kill -9; another takes its place, and every item is accounted for";
    let words = ["kill -9", "was killed by SIGKILL", "every item is accounted for"];
    keep("kill.svg", &scene.recording.svg(title, COLUMNS.into()), &words);
}
