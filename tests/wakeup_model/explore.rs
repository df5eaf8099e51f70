//! A small explicit-state model checker: breadth first, so a counterexample is as short as can be.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A step: what is done, whether it is a misfortune (which nobody can rely on), and the state after it.
pub struct Step<S> {
    pub label: String,
    pub misfortune: bool,
    pub after: S,
}

/// What was found.
pub enum Verdict {
    /// In all so many states.
    Holds(usize),
    /// The fault, and the steps that lead to it.
    Broken(String, Vec<String>),
}

/// Looks at every reachable state. `wrong` judges each: the flag says that nothing but misfortunes can happen any more.
pub fn explore<S: Clone + Eq + Hash>(
    start: S,
    steps: impl Fn(&S, &mut Vec<Step<S>>),
    wrong: impl Fn(&S, bool) -> Option<String>,
) -> Verdict {
    let mut seen: HashMap<S, usize> = HashMap::from([(start.clone(), 0)]);
    let mut came: Vec<(usize, String)> = vec![(0, String::new())];
    let mut queue = VecDeque::from([(start, 0)]);
    let mut next = Vec::new();
    while let Some((state, number)) = queue.pop_front() {
        steps(&state, &mut next);
        let at_rest = next.iter().all(|step| step.misfortune);
        if let Some(why) = wrong(&state, at_rest) {
            return Verdict::Broken(why, path(&came, number));
        }
        for step in next.drain(..) {
            if !seen.contains_key(&step.after) {
                seen.insert(step.after.clone(), came.len());
                queue.push_back((step.after, came.len()));
                came.push((number, step.label));
            }
        }
    }
    Verdict::Holds(seen.len())
}

fn path(came: &[(usize, String)], mut number: usize) -> Vec<String> {
    let mut labels = Vec::new();
    while number != 0 {
        labels.push(came[number].1.clone());
        number = came[number].0;
    }
    labels.reverse();
    labels
}

impl Verdict {
    /// Panics with the counterexample unless the property holds.
    #[track_caller]
    pub fn must_hold(self, name: &str) {
        match self {
            Verdict::Holds(states) => println!("{name}: holds in all {states} states"),
            Verdict::Broken(why, path) => panic!("{name}: {why}\n  {}", path.join("\n  ")),
        }
    }

    /// Panics unless the known-bad variant is found out: the model would be blind otherwise.
    #[track_caller]
    pub fn must_break(self, name: &str) {
        match self {
            Verdict::Holds(states) => panic!("{name}: the bad variant passed in all {states} states"),
            Verdict::Broken(why, path) => println!("{name}: found out after {} steps: {why}", path.len()),
        }
    }
}
