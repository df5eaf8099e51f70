//! `route`: each item into one of several queues.

use crate::condition::{Condition, ConditionFault, Conditions, Inapplicable};
use crate::model::Route as Rule;
use crate::stage::{Context, Emitter, Failure, Item, Settings, Stage};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Route, Failure> + use<> {
    with.about(
        "Sends each item where the first of its stage's `routes` says whose condition holds (docs/conditions.md).",
    );
    with.takes_routes();
    open
}

fn open(context: &Context) -> Result<Route, Failure> {
    let conditions = context.routes.iter().map(condition).collect::<Result<_, _>>()?;
    let ends = context.routes.iter().map(|rule| end(rule, context)).collect::<Result<_, _>>()?;
    Ok(Route { conditions: Conditions::new(conditions), ends })
}

/// It was checked with the pipeline file.
fn condition(rule: &Rule) -> Result<Option<Condition>, Failure> {
    let fault = |fault: ConditionFault| Failure::fatal(fault.message);
    rule.when.as_deref().map(Condition::parse).transpose().map_err(fault)
}

fn end(rule: &Rule, context: &Context) -> Result<Option<usize>, Failure> {
    let Some(queue) = &rule.to else { return Ok(None) };
    let place = context.output(queue);
    place.map(Some).ok_or_else(|| Failure::fatal(format!("the stage does not write the queue {queue}")))
}

/// See [`build`].
pub(super) struct Route {
    conditions: Conditions,
    /// The output of each rule; none: it drops.
    ends: Vec<Option<usize>>,
}

impl Stage for Route {
    /// A failed item is a dead letter at once: another attempt would end in the same way.
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let first =
            self.conditions.first_that_holds(item.bytes()).map_err(|why| Failure::reject(words(&why)))?;
        let no_rule = || Failure::reject("no rule of `routes` holds for the item");
        match self.ends.get(first.ok_or_else(no_rule)?) {
            Some(Some(output)) => out.emit_to(*output, item.bytes()),
            Some(None) | None => Ok(()),
        }
    }
}

fn words(why: &Inapplicable) -> String {
    match why {
        Inapplicable::Failed { condition, .. } => format!("rule {}: {why}", condition + 1),
        Inapplicable::Unread(_) => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sorted, open};
    use super::*;
    use crate::stage::{Opened, Reach};
    use serde_json::json;

    fn stage(rules: &[(Option<&str>, Option<&str>)]) -> Box<dyn Stage> {
        let owned = |text: &Option<&str>| text.map(str::to_owned);
        let routes = rules.iter().map(|(when, to)| Rule { when: owned(when), to: owned(to) }).collect();
        let outputs = vec!["errors".to_owned(), "slow".to_owned()];
        match open("route", json!({}), &Context { outputs, routes, ..Context::default() }) {
            Opened::Stage(stage) => stage,
            Opened::Source(_) | Opened::Delivery(_) => unreachable!(),
        }
    }

    #[test]
    fn an_item_goes_where_the_first_rule_that_holds_says() {
        let mut stage = stage(&[
            (Some("level == \"error\""), Some("errors")),
            (Some("took_ms > 1000"), Some("slow")),
            (Some("status >= 500"), Some("errors")),
            (None, None),
        ]);
        let mut out = Sorted::default();
        for item in [
            r#"{"level": "error", "took_ms": 2000}"#,
            r#"{"took_ms": 2000}"#,
            r#"{"status": 503}"#,
            r#"{"status": 200}"#,
        ] {
            stage.process(&Item::new(item.as_bytes()), &mut Emitter::new(&mut out)).unwrap();
        }
        let shown = out.0.iter().map(|(output, item)| (*output, item.as_str())).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                (0, r#"{"level": "error", "took_ms": 2000}"#),
                (1, r#"{"took_ms": 2000}"#),
                (0, r#"{"status": 503}"#)
            ]
        );
    }

    #[test]
    fn what_fits_no_rule_or_can_not_be_judged_is_a_dead_letter_at_once() {
        let mut stage = stage(&[(Some("a == 1"), Some("errors")), (Some("b > 1"), None)]);
        for (item, said) in [
            ("{}", "no rule of `routes` holds for the item"),
            (r#"{"b": "x"}"#, "rule 2: `b > 1`, character 3: `>` does not take a text and a whole number"),
            ("{", "the item is not JSON: EOF while parsing an object at line 1 column 1"),
        ] {
            let failure =
                stage.process(&Item::new(item.as_bytes()), &mut Emitter::new(&mut Sorted::default()));
            let failure = failure.unwrap_err();
            assert_eq!((failure.to_string().as_str(), failure.reach()), (said, Reach::Rejected));
        }
    }
}
