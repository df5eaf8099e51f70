//! `count`: numbers, one after the other.

use super::position::{restore_number, save_number};
use crate::stage::template::{ItemTemplate, Template, Values};
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Progress, Settings, Source};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Count, Failure> + use<> {
    with.about("Counts: emits whole numbers at equal steps.");
    let from: i64 = with.key("from", "The first number.").or(1);
    let to: Option<i64> = with
        .key("to", "No number is beyond this; without it, endless. One before the first: no number at all.")
        .optional();
    let step = with.key("step", "From one number to the next; negative to count down.");
    let step = step.check(|&step| if step == 0 { Err("can't be 0".to_owned()) } else { Ok(()) }).or(1i64);
    let format = with.key("format", "The text to emit, with the number as {item}.").optional();
    if let Some(to) = to
        && with.is_good()
        && is_far_off(from, to, step)
    {
        let help =
            format!("write `step = {}` to count {}", -i128::from(step), if step > 0 { "down" } else { "up" });
        with.fault("to", format!("counting from {from} by {step} never comes to {to}"), Some(help));
    }
    with.remember(Persistence::State);
    with.ends(to.is_some());
    let format = format.map(|ItemTemplate(template)| template);
    move |_| Ok(Count { from, to, step, format, position: 0, text: Vec::new() })
}

/// Whether the end lies behind the beginning. One step before it is no mistake but an empty range, as `seq 1 0` is: what
/// is left of `to = ${N}` where there are no items.
fn is_far_off(from: i64, to: i64, step: i64) -> bool {
    let away = (i128::from(to) - i128::from(from)) * i128::from(step.signum());
    away < 0 && away != -1
}

/// See [`build`].
pub(super) struct Count {
    from: i64,
    to: Option<i64>,
    step: i64,
    format: Option<Template>,
    /// Numbers emitted so far.
    position: u64,
    text: Vec<u8>,
}

impl Count {
    /// The number at the position; none: past the last one, or past what fits into 64 bits.
    fn number(&self) -> Option<i64> {
        let number = i128::from(self.position) * i128::from(self.step) + i128::from(self.from);
        let number = i64::try_from(number).ok()?;
        match self.to {
            Some(to) if self.step > 0 && number > to => None,
            Some(to) if self.step < 0 && number < to => None,
            _ => Some(number),
        }
    }
}

impl Source for Count {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        let Some(number) = self.number() else { return Ok(Next::End) };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        match &self.format {
            None => out.emit(digits)?,
            Some(format) => {
                self.text.clear();
                format.render(
                    &Values { item: digits, pid: 0, parent: 0, worker: 0, stage: "", attempt: 1 },
                    &mut self.text,
                );
                out.emit(&self.text)?;
            }
        }
        self.position += 1;
        Ok(Next::More)
    }

    fn progress(&self) -> Option<Progress> {
        let (from, to, step) = (i128::from(self.from), i128::from(self.to?), i128::from(self.step));
        let numbers = ((to - from) * step.signum()).div_euclid(step.abs()) + 1;
        Some(Progress { done: self.position, total: u64::try_from(numbers.max(0)).unwrap_or(u64::MAX) })
    }

    fn save(&self, state: &mut Vec<u8>) {
        save_number(self.position, state);
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.position = restore_number(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{collect, faults, open_source};
    use serde_json::{Value, json};

    fn counted(with: Value) -> Vec<String> {
        collect(&mut open_source("count", with))
    }

    #[test]
    fn it_counts_up_down_and_by_steps() {
        assert_eq!(counted(json!({"to": 3})), ["1", "2", "3"]);
        assert_eq!(counted(json!({"from": 5, "to": 5})), ["5"]);
        assert_eq!(counted(json!({"from": 2, "to": -3, "step": -2})), ["2", "0", "-2"]);
        assert_eq!(counted(json!({"from": 0, "to": 10, "step": 4})), ["0", "4", "8"]);
        for nothing in [
            json!({"to": 0}),
            json!({"from": 5, "to": 4, "step": 3}),
            json!({"from": 5, "to": 6, "step": -2}),
        ] {
            let mut source = open_source("count", nothing.clone());
            assert_eq!(source.progress().unwrap().total, 0, "{nothing}");
            assert!(collect(&mut source).is_empty(), "{nothing}");
        }
        assert_eq!(counted(json!({"from": 8, "to": 9, "format": "hello {item}"})), ["hello 8", "hello 9"]);
    }

    #[test]
    fn it_ends_where_the_numbers_end() {
        assert_eq!(counted(json!({"from": i64::MAX - 1})).len(), 2);
        assert_eq!(counted(json!({"from": i64::MIN, "step": -1})), [i64::MIN.to_string()]);
    }

    #[test]
    fn an_end_that_is_never_reached_is_a_fault() {
        let faults = faults("count", json!({"from": 10, "to": 1}));
        assert_eq!(faults[0].message, "counting from 10 by 1 never comes to 1");
        assert_eq!(faults[0].help.as_deref(), Some("write `step = -1` to count down"));
        assert_eq!(super::super::testing::faults("count", json!({"from": 2, "to": 0})).len(), 1);
        assert_eq!(super::super::testing::faults("count", json!({"from": 2, "to": 4, "step": -1})).len(), 1);
        assert_eq!(super::super::testing::faults("count", json!({"step": 0})).len(), 1);
    }
}
