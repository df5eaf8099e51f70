//! `after`: services start one after the other, and end the other way round.

mod support;

use support::{Run, process, wait_until};

/// `web` comes after `app`, and that after `db`; in the file they stand the other way round.
fn chain() -> String {
    let program = |name: &str| {
        format!(
            "[stages.{name}]\ncommand = \"\"\"trap 'echo {name} ends; exit 0' TERM; echo {name} up; \
             while :; do sleep 0.01; done\"\"\"\n"
        )
    };
    format!("{}after = 'app'\n{}after = ['db']\n{}", program("web"), program("app"), program("db"))
}

fn wait_until_up(run: &Run, services: usize) {
    wait_until("all that are up", || {
        (run.lines().iter().filter(|line| line.ends_with(" up")).count() == services).then_some(())
    });
}

fn ends(run: &Run) -> Vec<String> {
    run.lines().into_iter().filter(|line| line.ends_with(" ends")).collect()
}

#[test]
fn they_start_in_order_and_end_the_other_way_round() {
    let mut run = Run::start_with(&chain(), &["-v"]);
    run.wait_for_log("up after");
    wait_until_up(&run, 3);
    let log = run.stderr();
    let place = |stage: &str| log.find(&format!("{stage}[0] starts: ")).unwrap();
    assert!(place("db") < place("app") && place("app") < place("web"), "{log}");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
    assert_eq!(ends(&run), ["web ends", "app ends", "db ends"]);
}

#[test]
fn one_that_is_killed_comes_back_and_the_others_run_on() {
    let mut run = Run::start(&chain());
    run.wait_for_log("up after");
    wait_until_up(&run, 3);
    let (web, app, db) = (run.workers("web"), run.workers("app"), run.workers("db"));
    process::kill(db[0], libc::SIGKILL);
    wait_until_up(&run, 4);
    assert_eq!((run.workers("web"), run.workers("app")), (web.clone(), app.clone()));
    assert_ne!(run.workers("db"), db);
    run.edit(&chain().replace("after = 'app'", "after = ['db', 'app']"));
    run.wait_for_log("reloaded");
    assert_eq!((run.workers("web"), run.workers("app")), (web, app), "another order restarts none");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
    assert_eq!(ends(&run), ["web ends", "app ends", "db ends"]);
}
