use super::*;
use crate::append::UndoLog;
use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

struct Killed;

/// What outlives a worker: the note, the token, and how many steps the one at work has left.
#[derive(Default)]
struct World {
    notes: RefCell<[Option<[u64; NOTE_WORDS]>; 2]>,
    turn: Cell<u64>,
    done: Cell<usize>,
    steps: Cell<usize>,
}

impl World {
    fn step(&self) {
        let left = self.steps.get();
        if left == 0 {
            resume_unwind(Box::new(Killed));
        }
        self.steps.set(left - 1);
    }
}

impl Notes for World {
    fn load(&self, second: bool) -> io::Result<Option<[u64; NOTE_WORDS]>> {
        Ok(self.notes.borrow()[usize::from(second)])
    }
    fn store(&self, second: bool, words: &[u64; NOTE_WORDS]) -> io::Result<()> {
        self.step();
        self.notes.borrow_mut()[usize::from(second)] = None;
        self.step();
        self.notes.borrow_mut()[usize::from(second)] = Some(*words);
        self.step();
        Ok(())
    }
    fn clear(&self) -> io::Result<()> {
        self.step();
        self.notes.borrow_mut()[0] = None;
        self.step();
        self.notes.borrow_mut()[1] = None;
        Ok(())
    }
}

const BATCHES: [&[&str]; 4] =
    [&["one\n", "two\n"], &["three, which is longer than a page\n"], &["4\n"], &["5\n", "6\n"]];

/// A worker's life: settles, then writes a batch in each turn, and commits.
fn live(file: &Appender<File>, world: &World) -> Vec<Settlement> {
    let mut settled = Vec::new();
    while world.done.get() < BATCHES.len() {
        if let Some(note) = world.open(world.turn.get()).unwrap() {
            settled.push(file.settle(&note, &file.reader().unwrap()).unwrap().1);
            world.clear().unwrap();
        }
        let (turn, mut written) = (world.turn.get() + 1, None);
        for lines in BATCHES[world.done.get()] {
            file.write_in_turn(Turn { number: turn, whose: 0 }, lines.as_bytes(), &mut written, world)
                .1
                .unwrap();
        }
        world.step();
        world.turn.set(turn);
        world.done.set(world.done.get() + 1);
    }
    settled
}

fn open(is_append: bool) -> Appender<File> {
    let path = std::env::temp_dir().join(format!("mprun-turn-{:x}", fastrand::u64(..)));
    let mut file = OpenOptions::new().create_new(true).write(true).append(is_append).open(&path).unwrap();
    std::fs::remove_file(&path).ok();
    file.write_all(b"before\n").unwrap();
    Appender::new(file, UndoLog::create().unwrap()).unwrap()
}

fn content(file: &Appender<File>) -> String {
    std::io::read_to_string(file.reader().unwrap()).unwrap()
}

fn dies(file: &Appender<File>, world: &Rc<World>, steps: usize) -> bool {
    world.steps.set(steps);
    match catch_unwind(AssertUnwindSafe(|| live(file, world))) {
        Ok(_) => false,
        Err(panic) if panic.is::<Killed>() => true,
        Err(panic) => resume_unwind(panic),
    }
}

fn world() -> Rc<World> {
    let world = Rc::new(World::default());
    let dying = world.clone();
    death::at_each_step(move || dying.step());
    world
}

#[test]
fn a_writer_killed_at_any_two_steps_has_every_line_in_the_file_once() {
    let expected = format!("before\n{}", BATCHES.concat().concat());
    for is_append in [true, false] {
        'all: for first in 0.. {
            for second in 0.. {
                let (file, world) = (open(is_append), world());
                let died = dies(&file, &world, first);
                let died_again = died && dies(&file, &world, second);
                assert!(!dies(&file, &world, usize::MAX));
                assert_eq!(content(&file), expected, "killed at steps {first} and {second}");
                if !died {
                    assert!(first > 30, "only {first} steps");
                    break 'all;
                }
                if !died_again {
                    break;
                }
            }
        }
    }
}

#[test]
fn what_another_program_writes_after_a_death_stays_and_no_line_is_torn() {
    for theirs in ["theirs\n", "t"] {
        for steps in 0..40 {
            let (file, world) = (open(true), world());
            if !dies(&file, &world, steps) {
                continue;
            }
            (file.target()).write_all(theirs.as_bytes()).unwrap();
            world.steps.set(usize::MAX);
            live(&file, &world);
            let seen = content(&file);
            assert!(seen.contains(theirs), "{steps}: {seen:?}");
            for line in BATCHES.concat() {
                assert!(seen.contains(line), "{steps}: {line:?} is missing in {seen:?}");
            }
        }
    }
}

#[test]
fn what_another_program_writes_between_a_note_and_its_write_is_not_taken_for_it() {
    struct Interrupted<'a>(&'a World, &'a Appender<File>);
    impl Notes for Interrupted<'_> {
        fn load(&self, second: bool) -> io::Result<Option<[u64; NOTE_WORDS]>> {
            self.0.load(second)
        }
        fn store(&self, second: bool, words: &[u64; NOTE_WORDS]) -> io::Result<()> {
            self.0.store(second, words)?;
            self.1.target().write_all(b"theirs\n")
        }
        fn clear(&self) -> io::Result<()> {
            self.0.clear()
        }
    }
    let (file, world) = (open(true), world());
    world.steps.set(usize::MAX);
    let mut written = None;
    file.write_in_turn(Turn { number: 1, whose: 0 }, b"a\n", &mut written, &Interrupted(&world, &file))
        .1
        .unwrap();
    file.write_in_turn(Turn { number: 1, whose: 0 }, b"b\n", &mut written, &*world).1.unwrap();
    let note = world.open(0).unwrap().unwrap();
    assert!(note.is_mixed);
    let (behind, settlement) = file.settle(&note, &file.reader().unwrap()).unwrap();
    assert_eq!((behind, settlement), (11, Settlement::Keep));
    assert_eq!(content(&file), "before\ntheirs\na\nb\n");
}
