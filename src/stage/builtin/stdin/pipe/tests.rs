use super::*;
use std::fs::File;
use std::io::Write;

/// A stage's pipes as the supervisor keeps them, and the writing end of its standard input.
struct Bench {
    input: OwnedFd,
    holding: Pipe,
    writer: Option<File>,
}

impl Bench {
    fn new() -> Bench {
        let (holding, Pipe { reader, writer }) = (new_pipe().unwrap(), new_pipe().unwrap());
        Bench { input: reader, holding, writer: Some(File::from(writer)) }
    }

    fn write(&self, text: &[u8]) {
        self.writer.as_ref().unwrap().write_all(text).unwrap();
    }

    /// A worker that starts with what the stage remembers.
    fn worker(&self, state: &Option<Vec<u8>>) -> FromPipe {
        let holding = Pipe {
            reader: self.holding.reader.try_clone().unwrap(),
            writer: self.holding.writer.try_clone().unwrap(),
        };
        let mut worker = FromPipe::new(self.input.try_clone().unwrap(), holding, Framing::Lines).unwrap();
        if let Some(state) = state {
            worker.restore(state).unwrap();
        }
        worker
    }
}

fn state_of(worker: &FromPipe) -> Option<Vec<u8>> {
    let mut state = Vec::new();
    worker.save(&mut state);
    Some(state)
}

/// Runs workers on `text`, each killed after so many steps; every `commit_every` steps (and at each checkpoint) the
/// outputs and the state are committed. Returns what was published.
fn storm(text: &[u8], write_size: usize, steps: usize, commit_every: usize) -> Vec<Vec<u8>> {
    let mut bench = Bench::new();
    let mut unwritten: Vec<&[u8]> = text.chunks(write_size).rev().collect();
    let (mut published, mut state) = (Vec::new(), None);
    for _life in 0..1_000_000 {
        let mut worker = bench.worker(&state);
        let mut staged = Vec::new();
        for step in 1..=steps {
            let next = worker.next(&mut Emitter::new(&mut staged)).unwrap();
            if next == Next::Checkpoint || next == Next::End || step % commit_every == 0 {
                published.append(&mut staged);
                state = state_of(&worker);
            }
            match next {
                Next::More | Next::Checkpoint => {}
                Next::End => return published,
                Next::Wait(_) => match unwritten.pop() {
                    Some(bytes) => bench.write(bytes),
                    None => bench.writer = None,
                },
            }
        }
    }
    panic!("no progress");
}

#[test]
fn every_line_comes_once_whenever_the_worker_is_killed() {
    let text: Vec<u8> =
        (0..40).flat_map(|i| format!("line {}\n", i % 3).into_bytes()).chain(*b"last").collect();
    let expected: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    for write_size in [1, 7, 64, 4096] {
        for steps in [4, 5, 7, 11, 100] {
            for commit_every in [1, 2, 3] {
                let published = storm(&text, write_size, steps, commit_every);
                assert_eq!(
                    published, expected,
                    "writes of {write_size}, killed after {steps}, commit {commit_every}"
                );
            }
        }
    }
}

#[test]
fn a_line_longer_than_a_pipe_is_carried_on() {
    let text = [vec![b'x'; 300_000], b"\nshort\n".to_vec()].concat();
    let published = storm(&text, 50_000, 50, 1);
    assert_eq!(published.iter().map(Vec::len).collect::<Vec<_>>(), [300_000, 5]);
}

#[test]
fn a_worker_killed_while_it_discards_leaves_the_rest_to_the_next() {
    let bench = Bench::new();
    bench.write(b"a\nb\nc\n");
    let (mut worker, mut seen) = (bench.worker(&None), Vec::new());
    while worker.next(&mut Emitter::new(&mut seen)).unwrap() != Next::Checkpoint {}
    let state = state_of(&worker);
    // Two of the six bytes were taken out when it was killed.
    read(&bench.holding.reader, &mut [0; 2]).unwrap();
    bench.write(b"d\n");
    let mut worker = bench.worker(&state);
    for _ in 0..5 {
        worker.next(&mut Emitter::new(&mut seen)).unwrap();
    }
    assert_eq!(seen, [b"a", b"b", b"c", b"d"]);
}
