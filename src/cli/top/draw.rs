//! From the screen's content to its letters. What doesn't fit is left out from the bottom: stages and queues come first.

use super::screen::Screen;
use super::spark;
use crate::cli::status::phase;
use crate::numbers::{counted, rate, time};
use crate::status::{ConfigState, QueueStatus, Snapshot, StageStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, TableState, Wrap};

const KEYS: &str = " q quit  up/down stage  +/- processes  p pause/resume  P all  r restart";
const SERVICE_KEYS: &str = " q quit  up/down service  +/- processes  p pause/resume  P all  r restart";
const LOOKING_KEYS: &str = " q quit  up/down stage";
const SERVICES_HEAD: [&str; 5] = ["SERVICE", "STATE", "PROCS", "UP", "RESTARTS"];
const HEAD: [&str; 8] = ["STAGE", "STATE", "PROCS", "DONE/S", "OUT/S", "", "RESTARTS", "DEAD"];
/// The widths of all columns but the name, the state and the sparkline, and the gaps between.
const FIXED_WIDTH: u16 = 7 + 7 + 7 + 8 + 6 + 7;
/// Of the states, at least.
const STATE_WIDTH: u16 = 8;
const BAR_WIDTH: usize = 20;

/// Draws it all.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let snapshot = &screen.snapshot;
    let [title, stages, queues, limit, log, foot] =
        places(frame.area(), snapshot.stages.len(), snapshot.queues.len());
    frame.render_widget(Paragraph::new(heading(snapshot)), title);
    draw_stages(frame, stages, screen);
    frame.render_widget(Paragraph::new(queue_lines(&snapshot.queues, queues)), queues);
    let text = snapshot.bottleneck.as_ref().map_or("", |found| found.text.as_str());
    let text = Paragraph::new(text).style(Style::new().fg(Color::Yellow)).wrap(Wrap { trim: true });
    frame.render_widget(text, limit);
    draw_log(frame, log, &screen.lines);
    frame.render_widget(Paragraph::new(footing(screen)).style(Style::new().reversed()), foot);
}

/// Rows for: the title, stages, queues, the bottleneck, the log, the foot. Many stages leave room for some queues.
fn places(area: Rect, stages: usize, queues: usize) -> [Rect; 6] {
    let rows = |wanted: usize| u16::try_from(wanted).unwrap_or(u16::MAX);
    let inner = area.height.saturating_sub(2);
    let stages = rows(stages + 2).min((inner / 2).max(inner.saturating_sub(rows(queues + 4))));
    let queues = rows(queues + 1).min(inner.saturating_sub(stages + 3));
    let limit = 3.min(inner.saturating_sub(stages + queues));
    let log = inner.saturating_sub(stages + queues + limit);
    let mut y = area.y;
    [1, stages, queues, limit, log, 1].map(|height| {
        let place = Rect { y, height, ..area }.intersection(area);
        y = y.saturating_add(height);
        place
    })
}

fn footing(screen: &Screen) -> &str {
    match (&screen.missed, screen.message.as_str()) {
        (Some(why), _) => why,
        (None, "") if screen.looks_only => LOOKING_KEYS,
        (None, "") if screen.snapshot.stages.iter().all(StageStatus::is_service) => SERVICE_KEYS,
        (None, "") => KEYS,
        (None, message) => message,
    }
}

fn heading(snapshot: &Snapshot) -> Line<'_> {
    let state = if snapshot.paused { "paused" } else { phase(snapshot.phase) };
    let alarm = Style::new().fg(Color::Red);
    let mut spans = vec![
        Span::styled(snapshot.pipeline.as_str(), Style::new().bold()),
        Span::raw(format!(": {state}, up {}", time(snapshot.uptime))),
    ];
    if snapshot.config.state == ConfigState::Refused {
        spans.push(Span::styled(", the changed file is refused", alarm));
    }
    let left = snapshot.letters_left().items;
    if left > 0 {
        spans.push(Span::styled(format!(", {}", counted(left, "dead letter")), alarm));
    }
    Line::from(spans)
}

fn draw_stages(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let stages = &screen.snapshot.stages;
    let longest = stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0);
    let name = u16::try_from(longest.clamp(5, 24)).unwrap_or(24);
    let state = stages.iter().map(|stage| u16::try_from(stage.state().len()).unwrap_or(STATE_WIDTH)).max();
    let state = state.unwrap_or(0).max(STATE_WIDTH);
    let spark = area.width.saturating_sub(FIXED_WIDTH + name + state).min(60);
    let widths = [name, state, 7, 7, 7, spark, 8, 6];
    let table = match stages.iter().all(StageStatus::is_service) && !stages.is_empty() {
        true => {
            let rows = stages.iter().map(|service| Row::new(service_cells(service)));
            let widths = [name.max(7), state, 7, 9, 8].map(Constraint::Length);
            Table::new(rows, widths).header(Row::new(SERVICES_HEAD).style(Style::new().bold()))
        }
        false => {
            let rows = stages.iter().map(|stage| Row::new(stage_cells(stage, screen, spark.into())));
            Table::new(rows, widths.map(Constraint::Length)).header(Row::new(HEAD).style(Style::new().bold()))
        }
    };
    let table = table.row_highlight_style(Style::new().reversed());
    let mut state = TableState::new().with_selected(Some(screen.selected)); // scrolls to it
    frame.render_stateful_widget(table, area, &mut state);
}

fn stage_cells(stage: &StageStatus, screen: &Screen, width: usize) -> [String; 8] {
    let rates = screen.rates.get(&stage.name);
    let spark = rates.map_or(String::new(), |rates| spark::line(rates.iter(), width));
    let of_items = |has: bool, text: String| if has { text } else { "-".to_owned() };
    let has_items = !stage.is_service();
    [
        stage.name.clone(),
        stage.state().to_owned(),
        format!("{}/{}", stage.running, stage.processes),
        of_items(!stage.is_source(), rate(stage.rate.done)),
        of_items(has_items, rate(stage.rate.emitted)),
        if has_items { spark } else { stage.up().map_or(String::new(), |up| format!("up {}", time(up))) },
        stage.restarts().to_string(),
        of_items(has_items, stage.totals.dead.to_string()),
    ]
}

/// Of a file of services only: nothing there is about items.
fn service_cells(service: &StageStatus) -> [String; 5] {
    [
        service.name.clone(),
        service.state().to_owned(),
        format!("{}/{}", service.running, service.processes),
        service.up().map_or("-".to_owned(), time),
        service.restarts().to_string(),
    ]
}

/// As many as there is room for, and how many there are more.
fn queue_lines(queues: &[QueueStatus], area: Rect) -> Vec<Line<'_>> {
    let room = usize::from(area.height);
    let fit = if queues.len() > room { room.saturating_sub(1) } else { queues.len() };
    let longest = queues.iter().map(|queue| queue.name.chars().count()).max().unwrap_or(0).min(24);
    let mut lines: Vec<Line<'_>> = queues.iter().take(fit).map(|queue| queue_line(queue, longest)).collect();
    if fit < queues.len() {
        lines.push(Line::from(format!("and {} more", counted((queues.len() - fit) as u64, "queue"))));
    }
    lines
}

fn queue_line(queue: &QueueStatus, longest: usize) -> Line<'_> {
    let share = queue.fullness();
    let colour = if share >= 0.9 { Color::Red } else { Color::Green };
    Line::from(vec![
        Span::raw(format!("{:<longest$.longest$} ", queue.name)),
        Span::styled(spark::bar(share, BAR_WIDTH), Style::new().fg(colour)),
        Span::raw(format!(
            " {} of {} waiting{}, {} at work",
            queue.waiting,
            queue.capacity,
            if queue.delayed > 0 { format!(", {} delayed", queue.delayed) } else { String::new() },
            queue.leased
        )),
    ])
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, lines: &[String]) {
    let hidden = lines.len().saturating_sub(area.height.into());
    let shown: Vec<Line<'_>> = lines[hidden..].iter().map(|line| Line::from(line.as_str())).collect();
    frame.render_widget(Paragraph::new(shown).style(Style::new().dim()), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Letters;
    use crate::status::fixture::{queue, snapshot, stage};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(width: u16, height: u16, count: usize) -> String {
        let name = |n: usize| if n == 0 { "in".to_owned() } else { format!("out{n}") };
        let stages = (0..count).map(|n| stage(&name(n), if n == 0 { "" } else { "a" }, "b", [0.5, 0.5, 0.0]));
        let stages = stages.collect();
        let queues = (0..count).map(|n| queue(&format!("q{n}"), 5)).collect();
        let letters = Letters { letters: 3, ..Letters::default() };
        let mut screen = Screen::new(Snapshot { stages, queues, dead_letters: 3, letters, ..snapshot() });
        screen.update(screen.snapshot.clone(), (0..50).map(|n| format!("line \x1b[2J{n}")).collect());
        screen.selected = count - 1;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn stages_queues_and_the_last_lines_are_there_and_nothing_that_steers_the_terminal() {
        let text = drawn(80, 24, 2);
        let parts = [
            "test: running, up 10.0s, 3 dead",
            "RESTARTS",
            "out1",
            "███░░",
            "5 of 10 waiting",
            "line [2J49",
            "q quit",
        ];
        for part in parts {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn of_services_only_nothing_is_about_items() {
        let services = ["web", "cron"]
            .map(|name| StageStatus { is_command: true, ..stage(name, "", "", [0.0, 0.0, 0.0]) });
        let screen = Screen::new(Snapshot { stages: services.into(), queues: Vec::new(), ..snapshot() });
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        let text = terminal.backend().to_string();
        assert!(
            text.contains("SERVICE") && text.contains("UP") && text.contains("up/down service"),
            "{text}"
        );
        assert!(!["DONE/S", "DEAD", "STAGE", "stage"].iter().any(|word| text.contains(word)), "{text}");
    }

    #[test]
    fn of_many_stages_the_selected_one_is_shown_and_some_queues_are() {
        let text = drawn(80, 24, 60);
        for part in ["out59", "q0 ", " more", "q quit"] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn any_size_of_screen_will_do() {
        for width in [1, 2, 10, 40, 300] {
            for height in [1, 2, 3, 7, 100] {
                drawn(width, height, 2);
                drawn(width, height, 60);
            }
        }
    }
}
