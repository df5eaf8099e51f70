//! A condition, and several of which the first that holds counts.

use super::functions::ENV;
use super::item::Needs;
use super::outcome::{self, Outcome};
use super::places::{ConditionFault, Places};
use super::{check, failure, syntax};
use cel::{Context, IdedExpr};
use std::fmt;
use std::sync::Arc;

/// A condition that has been checked.
#[derive(Debug)]
pub(crate) struct Condition {
    expression: IdedExpr,
    places: Places,
}

impl Condition {
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Condition, ConditionFault> {
        syntax::on_large_stack(|| {
            let (mut expression, found) = syntax::parse(&ENV, text)?;
            let places = Places { text: text.to_owned(), found };
            check::check(&mut expression, &places)?;
            Ok(Condition { expression, places })
        })
    }
}

/// Conditions of which the first that holds for an item counts.
pub(crate) struct Conditions {
    /// `None` holds for every item.
    all: Vec<Option<Condition>>,
    needs: Needs,
}

/// Why conditions could not be applied to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inapplicable {
    /// It is no JSON, or has values that no condition can hold; in words.
    Unread(String),
    /// This condition can't be evaluated for it.
    Failed { condition: usize, text: String },
}

impl fmt::Display for Inapplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inapplicable::Unread(text) | Inapplicable::Failed { text, .. } => f.write_str(text),
        }
    }
}

impl Conditions {
    pub(crate) fn new(all: Vec<Option<Condition>>) -> Conditions {
        let mut needs = Needs::default();
        all.iter().flatten().for_each(|condition| needs.add(&condition.expression));
        Conditions { all, needs }
    }

    /// The place of the first condition that holds for an item.
    ///
    /// # Errors
    /// When the item can't be read, or a condition before that one can't be evaluated.
    pub(crate) fn first_that_holds(&self, item: &[u8]) -> Result<Option<usize>, Inapplicable> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        self.needs.read(item, &mut context).map_err(Inapplicable::Unread)?;
        for (i, condition) in self.all.iter().enumerate() {
            let holds = condition.as_ref().map_or(Ok(true), |condition| condition.holds(&context));
            if holds.map_err(|text| Inapplicable::Failed { condition: i, text })? {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }
}

impl Condition {
    fn holds(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        match outcome::of(&self.expression, context) {
            Outcome::True => Ok(true),
            Outcome::False | Outcome::Missing => Ok(false),
            Outcome::Failed { part, error } => Err(failure::explain(part, &self.places, context, error)),
        }
    }
}
