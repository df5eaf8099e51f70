//! One parameter on its way from the file to the stage.

use super::{KeyDoc, Setting, Settings, WithFault};
use serde_json::{Value, json};

/// One parameter that was read; say what its absence means to get the value.
pub struct Key<'s, 'a, T> {
    settings: &'s mut Settings<'a>,
    name: &'static str,
    doc: &'static str,
    schema: Value,
    value: Found<T>,
}

enum Found<T> {
    Nothing,
    /// Reported already.
    Faulty,
    Good(T),
}

impl<'a> Settings<'a> {
    /// Declares and reads one parameter; end it with [`Key::or`], [`Key::optional`] or [`Key::required`].
    pub fn key<T: Setting>(&mut self, name: &'static str, doc: &'static str) -> Key<'_, 'a, T> {
        Key::read(self, name, doc)
    }
}

impl<'s, 'a, T: Setting> Key<'s, 'a, T> {
    fn read(settings: &'s mut Settings<'a>, name: &'static str, doc: &'static str) -> Key<'s, 'a, T> {
        let mut schema = T::schema();
        schema["description"] = json!(doc);
        let mut key = Key { settings, name, doc, schema, value: Found::Nothing };
        if let Some(given) = key.settings.with.get(name) {
            key.value = match T::parse(given) {
                Ok(value) => Found::Good(value),
                Err(problem) => {
                    let help = without_quotes::<T>(given);
                    key.report_with(format!("`{name}` {problem}"), help)
                }
            };
        }
        key
    }

    /// Refuses values that aren't good, with the reason: a phrase that follows the key's name.
    #[must_use]
    pub fn check(mut self, is_good: impl FnOnce(&T) -> Result<(), String>) -> Self {
        if let Found::Good(value) = &self.value
            && let Err(problem) = is_good(value)
        {
            self.value = self.report(format!("`{}` {problem}", self.name));
        }
        self
    }

    /// The value, or this one if the key isn't there.
    pub fn or(mut self, default: T) -> T {
        self.schema["default"] = default.show();
        match self.declare(false) {
            Found::Good(value) => value,
            Found::Nothing | Found::Faulty => default,
        }
    }

    /// The value, if the key is there.
    pub fn optional(self) -> Option<T> {
        match self.declare(false) {
            Found::Good(value) => Some(value),
            Found::Nothing | Found::Faulty => None,
        }
    }

    /// The value; it is a fault if the key isn't there. (Then a placeholder comes back, so that reading goes on and
    /// finds the other faults; the stage is never opened with it.)
    pub fn required(self) -> T {
        let message = format!("`{}` needs the parameter `{}`", self.settings.uses, self.name);
        let help = format!("`{}`: {}", self.name, self.doc);
        if matches!(self.value, Found::Nothing) {
            self.settings.found.faults.push(WithFault { key: None, message, help: Some(help), within: None });
        }
        match self.declare(true) {
            Found::Good(value) => value,
            Found::Nothing | Found::Faulty => T::placeholder(),
        }
    }

    fn declare(self, required: bool) -> Found<T> {
        let Key { settings, name, doc, schema, value } = self;
        settings.found.keys.push(KeyDoc { name, schema, doc, required });
        value
    }

    fn report(&mut self, message: String) -> Found<T> {
        self.report_with(message, None)
    }

    fn report_with(&mut self, message: String, help: Option<String>) -> Found<T> {
        let key = Some(self.name.to_owned());
        self.settings.found.faults.push(WithFault { key, message, help, within: None });
        Found::Faulty
    }
}

/// A number or a flag that is written as a text.
fn without_quotes<T: Setting>(given: &Value) -> Option<String> {
    let text = given.as_str()?.trim();
    let meant: Value = serde_json::from_str(text).ok()?;
    (!meant.is_string() && T::parse(&meant).is_ok()).then(|| format!("did you mean {text}, without quotes?"))
}

impl Key<'_, '_, u64> {
    /// Refuses smaller numbers.
    #[must_use]
    pub fn at_least(mut self, least: u64) -> Self {
        self.schema["minimum"] = json!(least);
        self.check(
            |&value| if value >= least { Ok(()) } else { Err(format!("is at least {least}, not {value}")) },
        )
    }
}
