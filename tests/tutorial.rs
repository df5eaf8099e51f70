//! The tutorial, and the pages about coming from elsewhere: run as they stand there.

mod support;

use support::docs_page::Page;

#[test]
fn the_tutorial_is_true_from_its_top_to_its_end() {
    Page::read("tutorial.md", "orders").run();
}

#[test]
fn a_pool_hangs_where_a_pipeline_goes_on() {
    Page::read("from-multiprocessing.md", "squares").run();
}

#[test]
fn xargs_stops_parallel_and_mprun_go_on() {
    Page::read("from-parallel.md", "squares").run();
}

#[test]
fn a_shell_pipe_loses_what_a_pipeline_keeps() {
    Page::read("from-shell-pipe.md", "squares").run();
}

#[test]
fn work_is_handed_over_as_lines() {
    Page::read("from-celery.md", "jobs").run();
}

#[test]
fn a_log_is_filtered() {
    Page::read("from-vector.md", "logs").run();
}

#[test]
fn what_kill_9_does() {
    Page::read("kill.md", "squares").run();
}

#[test]
fn where_the_items_are() {
    Page::read("where.md", "places").run();
}

#[test]
fn the_order_of_items() {
    Page::read("order.md", "order").run();
}

#[test]
fn the_readme_runs() {
    Page::read("../README.md", "first").run();
}
