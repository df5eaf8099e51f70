use super::*;
use crate::logs::Follower;
use crate::logs::recent::{RecentLogs, end_lines, last};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mprun-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn log(&self, max_size: u64, max_age: Option<Duration>, keep: u32) -> LogFile {
        LogFile { path: self.0.join("deep/a.log"), max_size, max_age, keep }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(writer: usize, n: usize) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} INFO  w[{writer}] {n}\n")
}

#[test]
fn many_writers_rotate_one_file_and_no_line_is_lost_or_torn() {
    let folder = Folder::new("many");
    let spec = folder.log(20_000, None, 1000);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let spec = spec.clone();
            std::thread::spawn(move || {
                let mut log = RotatingFile::new(spec);
                (0..5000).for_each(|n| log.append(line(writer, n).as_bytes()).unwrap());
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let files = (0..).map(|n| spec.generation(n)).take_while(|path| path.exists());
    let mut count = 0;
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() < 20_000 + 5 * 8192, "{} is {} bytes long", path.display(), text.len());
        for line in text.lines() {
            *seen.entry(line.split_once("INFO").unwrap().1.to_owned()).or_default() += 1;
        }
        count += 1;
    }
    assert!(count > 10, "{count} files");
    assert_eq!(seen.len(), 20_000);
    assert!(seen.values().all(|&times| times == 1));
}

/// Each line rotates the file: most processes find another one than they opened, time and again.
#[test]
fn a_line_is_written_also_where_others_rotate_faster_than_its_process_can_open() {
    let folder = Folder::new("fast");
    let spec = folder.log(40, None, 10);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let spec = spec.clone();
            scope.spawn(move || {
                for n in 0..300 {
                    let mut log = RotatingFile::new(spec.clone());
                    log.append(line(writer, n).as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn only_so_many_old_files_are_kept() {
    let folder = Folder::new("keep");
    let spec = folder.log(5000, None, 2);
    let mut log = RotatingFile::new(spec.clone());
    (0..2000).for_each(|n| log.append(line(0, n).as_bytes()).unwrap());
    let exist: Vec<bool> = (0..4).map(|n| spec.generation(n).exists()).collect();
    assert_eq!(exist, [true, true, true, false]);
    let last = last(end_lines(&spec.path, u64::MAX).unwrap(), 3);
    let numbers: Vec<&str> = last.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(numbers, ["1997", "1998", "1999"]);
    let none = folder.log(5000, None, 0);
    let mut log = RotatingFile::new(none.clone());
    (0..2000).for_each(|n| log.append(line(0, n).as_bytes()).unwrap());
    assert!(fs::metadata(&none.path).unwrap().len() <= 5000 + CHECK_BYTES);
}

#[test]
fn a_file_whose_first_line_is_too_old_is_rotated_also_after_a_restart() {
    let folder = Folder::new("age");
    let spec = folder.log(1 << 20, Some(Duration::from_secs(3600)), 3);
    let mut log = RotatingFile::new(spec.clone());
    log.append(b"2020-01-01T00:00:00.000Z INFO  a[0] old\n").unwrap();
    let mut after_a_restart = RotatingFile::new(spec.clone());
    after_a_restart.append(line(0, 1).as_bytes()).unwrap();
    assert!(fs::read_to_string(spec.generation(1)).unwrap().contains("old"));
    assert!(!fs::read_to_string(&spec.path).unwrap().contains("old"));
    // The first writer has the old file open, and finds out.
    (0..200).for_each(|n| log.append(line(0, n).as_bytes()).unwrap());
    assert!(
        fs::read_to_string(&spec.path).unwrap().contains("a[0]")
            || fs::read_to_string(&spec.path).unwrap().contains("w[0] 199")
    );
}

#[test]
fn an_age_is_never_less_than_nothing() {
    let (then, hour) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30), Duration::from_secs(3600));
    assert_eq!(age(then, then + hour), Some(hour));
    assert_eq!(age(then, then - Duration::from_millis(20)), Some(Duration::ZERO));
    assert_eq!(age(then, then - hour), None, "the clock has gone back an hour");
}

#[test]
fn a_file_begun_before_the_clock_went_back_is_rotated() {
    let folder = Folder::new("back");
    let spec = folder.log(1 << 20, Some(Duration::from_secs(3600)), 3);
    RotatingFile::new(spec.clone()).append(b"2999-01-01T00:00:00.000Z INFO  a[0] ahead\n").unwrap();
    let mut after = RotatingFile::new(spec.clone());
    after.append(line(0, 1).as_bytes()).unwrap();
    assert!(fs::read_to_string(spec.generation(1)).unwrap().contains("ahead"));
    (0..200).for_each(|n| after.append(line(0, n).as_bytes()).unwrap());
    assert!(!spec.generation(2).exists(), "once is enough");
}

#[test]
fn a_file_gets_older_also_while_the_clock_goes_back() {
    let folder = Folder::new("steady");
    let spec = folder.log(1 << 20, Some(Duration::from_secs(3600)), 3);
    let mut log = RotatingFile::new(spec.clone());
    log.append(line(0, 0).as_bytes()).unwrap();
    // As after an hour in which the clock on the wall was set back as far.
    log.begun = Some((Duration::from_secs(3600), Instant::now()));
    log.unchecked_bytes = CHECK_BYTES;
    log.append(line(0, 1).as_bytes()).unwrap();
    assert!(fs::read_to_string(spec.generation(1)).unwrap().ends_with("] 0\n"));
}

#[test]
fn a_file_that_somebody_else_has_moved_away_is_made_anew() {
    let folder = Folder::new("moved");
    let spec = folder.log(1 << 20, None, 1);
    let mut log = RotatingFile::new(spec.clone());
    log.append(line(0, 0).as_bytes()).unwrap();
    fs::rename(&spec.path, spec.path.with_extension("away")).unwrap();
    (1..200).for_each(|n| log.append(line(0, n).as_bytes()).unwrap());
    assert!(fs::read_to_string(&spec.path).unwrap().ends_with("w[0] 199\n"));
}

#[test]
fn a_follower_sees_lines_in_order_while_files_are_rotated_and_then_the_end() {
    let folder = Folder::new("follow");
    let spec = LogFile { max_size: 4000, keep: 1000, ..RecentLogs::new(&folder.0).of_stage("a") };
    let mut log = RotatingFile::new(spec.clone());
    let first = line(0, 0);
    log.append(first.as_bytes()).unwrap();
    let (mut follower, before) = Follower::new(&folder.0, Some("a"), 10).unwrap();
    assert_eq!(before, [first.trim_end()]);
    let following = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while let Some(lines) = follower.next_lines().unwrap() {
            seen.extend(lines.iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()));
        }
        seen
    });
    (1..=300).for_each(|n| log.append(line(0, n).as_bytes()).unwrap());
    fs::remove_dir_all(&folder.0).unwrap();
    // What is gone before the follower has looked is gone; what it has seen is whole and in order.
    let numbers: Vec<u32> = following.join().unwrap().iter().map(|n| n.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// A writer that never rests: whatever a follower says was there before, it must not say again, nor leave a line out.
#[test]
fn a_follower_that_starts_beside_a_busy_writer_has_each_line_once() {
    let folder = Folder::new("busy");
    let spec = LogFile { max_size: 1 << 30, ..RecentLogs::new(&folder.0).of_stage("a") };
    let (mut log, stop) = (RotatingFile::new(spec.clone()), std::sync::Arc::new(AtomicBool::new(false)));
    log.append(line(0, 0).as_bytes()).unwrap();
    let stopped = stop.clone();
    let writer = std::thread::spawn(move || {
        let lines = (1..).take_while(|_| !stopped.load(Relaxed));
        for n in lines {
            log.append(line(0, n).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    for _ in 0..50 {
        let (mut follower, mut seen) = Follower::new(&folder.0, None, 100).unwrap();
        seen.extend(follower.next_lines().unwrap().unwrap());
        let numbers: Vec<u32> =
            seen.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }
    stop.store(true, Relaxed);
    writer.join().unwrap();
}

#[test]
fn a_slow_writer_is_followed_line_by_line_also_when_its_file_is_rotated() {
    let folder = Folder::new("slow");
    let spec = LogFile { max_size: 500, keep: 1, ..RecentLogs::new(&folder.0).of_stage("a") };
    let mut log = RotatingFile::new(spec.clone());
    log.append(line(0, 0).as_bytes()).unwrap();
    let (mut follower, _) = Follower::new(&folder.0, None, 0).unwrap();
    for n in 1..=100 {
        // As after a second without a line: the writer looks at the file before each.
        log.unchecked_bytes = CHECK_BYTES;
        log.append(line(0, n).as_bytes()).unwrap();
        let lines = follower.next_lines().unwrap().unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with(&format!("] {n}")));
    }
}

#[test]
fn the_recent_logs_of_a_run_are_shown_in_the_order_of_time_and_go_with_it() {
    let folder = Folder::new("recent");
    fs::create_dir_all(&folder.0).unwrap();
    let recent = RecentLogs::beside(&folder.0.join("p.sock"));
    recent.create().unwrap();
    for n in 0..10 {
        let stage = if n % 2 == 0 { "even" } else { "odd" };
        let text = format!("2026-01-01T00:00:00.00{n}Z INFO  {stage}[0] {n}\n");
        RotatingFile::new(recent.of_stage(stage)).append(text.as_bytes()).unwrap();
    }
    let numbers = |stage, most| {
        let lines = recent.last(stage, most).unwrap();
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None, 4), ["6", "7", "8", "9"]);
    assert_eq!(numbers(Some("odd"), 100), ["1", "3", "5", "7", "9"]);
    recent.create().unwrap();
    assert!(numbers(None, 4).is_empty());
    recent.remove();
    assert!(!recent.folder().exists());
}
