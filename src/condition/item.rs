//! What conditions read of an item: the fields that they name, and `item`, which is all of it. Only that is made into values.

use super::json::Json;
use super::syntax;
use cel::common::ast::Expr;
use cel::common::types::{CelMap, CelMapKey};
use cel::common::value::Val;
use cel::{Context, IdedExpr};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

/// The variable that is the whole item.
pub(super) const ITEM: &str = "item";

/// A field of an item that conditions name.
#[derive(Debug)]
struct Field {
    name: String,
    /// As `name`.
    is_variable: bool,
    /// As `item.name`.
    is_member: bool,
}

/// What some conditions name.
#[derive(Debug, Default)]
pub(super) struct Needs {
    fields: Vec<Field>,
    /// `item` in another way than `item.name`.
    whole: bool,
}

impl Needs {
    pub(super) fn add(&mut self, expression: &IdedExpr) {
        self.walk(expression, &mut Vec::new());
    }

    /// `bound`: variables of the expression's own, as the `x` of `tags.exists(x, …)`.
    fn walk<'e>(&mut self, expression: &'e IdedExpr, bound: &mut Vec<&'e str>) {
        match &expression.expr {
            Expr::Ident(name) if bound.contains(&name.as_str()) => {}
            Expr::Ident(name) if name == ITEM => self.whole = true,
            Expr::Ident(name) => self.field(name).is_variable = true,
            Expr::Select(select) if is_item(&select.operand) && !bound.contains(&ITEM) => {
                self.field(&select.field).is_member = true;
            }
            Expr::Comprehension(all) => {
                self.walk(&all.iter_range, bound);
                let before = bound.len();
                bound.extend([all.iter_var.as_str(), all.accu_var.as_str()]);
                let parts = [&all.accu_init, &all.loop_cond, &all.loop_step, &all.result];
                parts.into_iter().for_each(|part| self.walk(part, bound));
                bound.truncate(before);
            }
            _ => syntax::parts(expression).into_iter().for_each(|part| self.walk(part, bound)),
        }
    }

    fn field(&mut self, name: &str) -> &mut Field {
        let place = self.fields.iter().position(|field| field.name == name).unwrap_or(self.fields.len());
        if place == self.fields.len() {
            self.fields.push(Field { name: name.to_owned(), is_variable: false, is_member: false });
        }
        &mut self.fields[place]
    }

    /// Reads an item; what is needed of it are variables then. The error says why it can't be read.
    pub(super) fn read<'i>(&self, item: &'i [u8], context: &mut Context<'_, 'i>) -> Result<(), String> {
        let text = std::str::from_utf8(item).map_err(|error| format!("the item is not JSON: {error}"))?;
        let is_object = text.trim_start().starts_with('{');
        if is_object {
            let values = read(text, |from| Fields(self).deserialize(from))?;
            self.declare(values, context);
        }
        if self.whole || !is_object {
            let Json(whole) = read(text, |from| serde::Deserialize::deserialize(from))?;
            context.add_variable_as_val(ITEM, whole);
        }
        Ok(())
    }

    fn declare<'i>(&self, values: Vec<Option<Box<dyn Val + 'i>>>, context: &mut Context<'_, 'i>) {
        let mut members: HashMap<CelMapKey<'i>, Box<dyn Val + 'i>> = HashMap::new();
        for (field, value) in self.fields.iter().zip(values) {
            let Some(value) = value else { continue };
            if field.is_member {
                members.insert(CelMapKey::from(field.name.clone()), value.clone_as_boxed());
            }
            if field.is_variable {
                context.add_variable_as_val(field.name.as_str(), value);
            }
        }
        if !self.whole && self.fields.iter().any(|field| field.is_member) {
            context.add_variable_as_val(ITEM, Box::new(CelMap::from(members)));
        }
    }
}

pub(super) fn is_item(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == ITEM)
}

/// One value, and nothing behind it. The error is about the item.
fn read<'i, T>(
    text: &'i str,
    read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'i>>) -> serde_json::Result<T>,
) -> Result<T, String> {
    let mut from = serde_json::Deserializer::from_str(text);
    read(&mut from).and_then(|value| from.end().map(|()| value)).map_err(|error| unread(text, &error))
}

/// What `serde_json` refuses to make a value of may be JSON all the same: its grammar bounds no number, knows nothing of
/// characters, and has no deepest place.
fn unread(text: &str, error: &serde_json::Error) -> String {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return format!("the item is not JSON: {error}");
    }
    let (said, line, column) = (error.to_string(), error.line(), error.column());
    let (what, then) = if said.starts_with("number out of range") {
        ("a number that is beyond ±1.8e308", "conditions have no such number; write it as a text")
    } else if said.contains("hex escape") {
        (
            "half of a surrogate pair in a text",
            "that is no character; write both halves (\\ud83d\\ude00), or the character itself",
        )
    } else if said.starts_with("recursion limit") {
        ("more than 127 lists and objects in each other", "conditions read no field that is deeper")
    } else {
        return format!("the item can't be read: {error}");
    };
    format!("the item has {what}, at line {line} column {column}: {then}")
}

/// Reads the fields of an object that are needed, in their order.
struct Fields<'n>(&'n Needs);

impl<'i> DeserializeSeed<'i> for Fields<'_> {
    type Value = Vec<Option<Box<dyn Val + 'i>>>;

    fn deserialize<D: Deserializer<'i>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'i> Visitor<'i> for Fields<'_> {
    type Value = Vec<Option<Box<dyn Val + 'i>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'i>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut values: Self::Value = self.0.fields.iter().map(|_| None).collect();
        while let Some(place) = entries.next_key_seed(Key(self.0))? {
            match place {
                Some(place) => values[place] = Some(entries.next_value::<Json<'i>>()?.0),
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

/// The place of a key among those that are needed.
struct Key<'n>(&'n Needs);

impl<'i> DeserializeSeed<'i> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'i>>(self, from: D) -> Result<Option<usize>, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.fields.iter().position(|field| field.name == key))
    }
}
