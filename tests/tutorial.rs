//! The tutorial, and the pages about coming from elsewhere: run as they stand there.

mod support;

use std::collections::BTreeSet;
use std::fs;

use support::docs_page::{Page, commands_without_a_test};
use support::project;

/// Pages of docs/ whose commands are run, and the folder that each speaks of.
const RUN: [(&str, &str); 14] = [
    ("tutorial.md", "orders"),
    ("from-multiprocessing.md", "squares"),
    ("from-parallel.md", "squares"),
    ("from-shell-pipe.md", "squares"),
    ("from-celery.md", "jobs"),
    ("from-vector.md", "logs"),
    ("kill.md", "squares"),
    ("where.md", "places"),
    ("order.md", "order"),
    ("../README.md", "first"),
    ("do.md", "lines"),
    ("import.md", "move"),
    ("control.md", "shop"),
    ("conditions.md", "logs"),
];

#[track_caller]
fn run(page: &str) {
    let (page, folder) = RUN.into_iter().find(|(known, _)| *known == page).expect("a page of `RUN`");
    Page::read(page, folder).run();
}

#[test]
fn every_command_of_the_docs_is_run_or_says_why_not() {
    let mut pages = vec!["../README.md".to_owned()];
    for folder in ["", "design/"] {
        let entries = fs::read_dir(project().join("docs").join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}{name}")));
    }
    let run: BTreeSet<&str> = RUN.into_iter().map(|(page, _)| page).collect();
    let mut left_out = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(project().join("docs").join(page)).unwrap();
        let found = commands_without_a_test(&text, run.contains(page.as_str()));
        left_out.extend(found.into_iter().map(|command| format!("{page}: {command}")));
    }
    assert!(
        left_out.is_empty(),
        "add the page to `RUN`, or put `<!-- not run: why -->` on the line before the block: {left_out:#?}"
    );
    assert!(run.iter().all(|page| pages.iter().any(|known| known == page)), "{run:?}");
}

#[test]
fn the_tutorial_is_true_from_its_top_to_its_end() {
    run("tutorial.md");
}

/// A reader takes minutes where the test takes moments: what the shop writes meanwhile is priced soon, and no order of it has
/// the name of one that the reader writes.
#[test]
fn the_tutorial_waits_for_a_slow_reader() {
    let page = fs::read_to_string(project().join("docs/tutorial.md")).unwrap();
    let number = |before: &str, after: &str| -> f64 {
        let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        rest.split_once(after).unwrap().0.parse().unwrap()
    };
    // Orders a second: what comes, and what the stage can do before and after it is scaled.
    let shop = 1.0 / number("  sleep ", "\n");
    let work = number("time.sleep(", ")");
    let (before, after) = (number("\nprocesses = ", "\n") / work, number("(processes: 2 -> ", ")") / work);
    assert!(shop > before * 1.1, "nothing waits in the queue: {shop} orders a second for {before}");
    let minute = 60.0;
    let catches_up = |waiting: f64| waiting / (after - shop);
    assert!(catches_up(5.0 * minute * (shop - before)) < 30.0, "five minutes of reading before it is scaled");
    assert!(catches_up(minute * shop) < 30.0, "a minute without mprun");
    assert!(page.contains(r#"'{"id": "web-1""#), "numbers are the shop's own");
}

#[test]
fn a_pool_hangs_where_a_pipeline_goes_on() {
    run("from-multiprocessing.md");
}

#[test]
fn xargs_stops_parallel_and_mprun_go_on() {
    run("from-parallel.md");
}

#[test]
fn a_shell_pipe_loses_what_a_pipeline_keeps() {
    run("from-shell-pipe.md");
}

#[test]
fn work_is_handed_over_as_lines() {
    run("from-celery.md");
}

#[test]
fn a_log_is_filtered() {
    run("from-vector.md");
}

#[test]
fn what_kill_9_does() {
    run("kill.md");
}

#[test]
fn where_the_items_are() {
    run("where.md");
}

#[test]
fn the_order_of_items() {
    run("order.md");
}

#[test]
fn the_readme_runs() {
    run("../README.md");
}

#[test]
fn a_line_halts_soon() {
    run("do.md");
}

#[test]
fn lines_of_xargs_and_parallel_become_files() {
    run("import.md");
}

#[test]
fn a_pipeline_is_looked_at_and_controlled() {
    run("control.md");
}

#[test]
fn a_slip_in_a_condition_is_shown_where_it_stands() {
    run("conditions.md");
}
