//! One type per kind of setting: how it is read, what it accepts in words and as JSON schema, how it is written.
//! Reader, messages, schema and the user's reference all come from these, so that they can't drift apart.

mod address;
mod choice;
mod count;
mod duration;
mod exit_codes;
mod flag;
mod invocation;
mod name;
mod named;
mod nice;
mod optional;
mod processes;
mod queue_names;
mod setting;
mod size;
mod socket;
mod table;
#[cfg(test)]
mod testing;
mod umask;
mod variables;
mod with;
mod word;

pub use address::Address;
pub use choice::{FramingWord, ModeWord, ReplyWord};
pub use count::Count;
pub use duration::{Pause, Period, show as show_duration};
pub use exit_codes::ExitCodes;
pub use invocation::Invocation;
pub use name::{Name, PipelineName};
pub use named::{Item, Named, Tables};
pub use nice::Nice;
pub use processes::Processes;
pub use queue_names::{QueueName, QueueNames};
pub use setting::{At, Setting};
pub use size::{Size, show as show_size};
pub use socket::SocketPath;
pub(in crate::config) use table::table;
pub use table::{Fields, Key, Strays, bare, read_table, table_schema, write_table};
pub use umask::Umask;
pub use variables::Variables;
pub use with::With;
pub use word::Word;

use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Report};
use super::document::Node;

/// A kind of setting.
pub trait Element: Sized + Clone {
    /// Reads a value; `None` after the report says why not.
    fn read(node: &Node, report: &mut Report) -> Option<Self>;

    /// The accepted form in words, as they fit after "accepted: ".
    fn accepted() -> String;

    /// The accepted form as JSON schema.
    fn schema() -> Value;

    /// The value as a user would write it.
    fn written(&self) -> Value;

    /// The value where it is set, and what lies `beneath` (`[defaults]`) where it is not. Only tables have parts.
    fn over(self, beneath: Self) -> Self {
        let _ = beneath;
        self
    }
}

/// A fault of a value, with what is accepted instead.
pub fn reject<T: Element>(node: &Node, title: impl Into<String>) -> Diagnostic {
    Diagnostic::error(title).at(&node.place).accepted(T::accepted())
}

/// The fault of a value of the wrong kind.
pub fn wrong_kind<T: Element>(node: &Node, wanted: &str) -> Diagnostic {
    reject::<T>(node, format!("expected {wanted}, found {}", node.kind()))
}

/// A schema that also lets a variable stand for the value: a validator sees the file before it is expanded.
pub fn or_variable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] })
}
