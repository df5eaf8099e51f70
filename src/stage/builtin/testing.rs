//! For the tests of the built-in stages: opens them as a worker does.

use crate::stage::{
    Context, Emitter, Failure, Item, Next, Opened, Outlet, Registry, Source, Stage, WithFault,
};
use serde_json::Value;

/// Items, each with the place of the output that it is for; those for all outputs with `usize::MAX`.
#[derive(Default)]
pub struct Sorted(pub Vec<(usize, String)>);

impl Outlet for Sorted {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.put_to(usize::MAX, item)
    }

    fn put_to(&mut self, output: usize, item: &[u8]) -> Result<(), Failure> {
        self.0.push((output, String::from_utf8(item.to_vec()).unwrap()));
        Ok(())
    }
}

pub fn faults(name: &str, with: Value) -> Vec<WithFault> {
    Registry::builtin().check(name, with.as_object().unwrap())
}

pub fn open(name: &str, with: Value, context: &Context) -> Opened {
    let faults = faults(name, with.clone());
    assert_eq!(faults, []);
    Registry::builtin().open(name, with.as_object().unwrap(), context).unwrap()
}

pub fn open_source(name: &str, with: Value) -> Box<dyn Source> {
    match open(name, with, &Context::default()) {
        Opened::Source(source) => source,
        Opened::Stage(_) | Opened::Delivery(_) => panic!("{name} is not a source"),
    }
}

pub fn open_stage(name: &str, with: Value) -> Box<dyn Stage> {
    match open(name, with, &Context::default()) {
        Opened::Stage(stage) => stage,
        Opened::Source(_) | Opened::Delivery(_) => panic!("{name} is a source, or a sink of its own kind"),
    }
}

/// Everything that a source emits until its end, or until it has to wait.
pub fn collect(source: &mut Box<dyn Source>) -> Vec<String> {
    let mut seen = Vec::new();
    let going_on = [Next::More, Next::Checkpoint];
    while going_on.contains(&source.next(&mut Emitter::new(&mut seen)).unwrap()) {}
    strings(seen)
}

/// Everything that a stage emits for these items and the end of the input.
pub fn through(name: &str, with: Value, items: &[&str]) -> Vec<String> {
    let mut stage = open_stage(name, with);
    let mut seen = Vec::new();
    let mut out = Emitter::new(&mut seen);
    for item in items {
        stage.process(&Item::new(item.as_bytes()), &mut out).unwrap();
    }
    stage.finish(&mut out).unwrap();
    stage.flush().unwrap();
    strings(seen)
}

fn strings(items: Vec<Vec<u8>>) -> Vec<String> {
    items.into_iter().map(|item| String::from_utf8(item).unwrap()).collect()
}
