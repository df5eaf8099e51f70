//! One type per kind of setting: how it is read, what it accepts in words and as JSON schema, how it is written.
//! Reader, messages, schema, the user's reference and the diff of two files all come from these.

mod broker_address;
mod choice;
mod count;
mod duration;
mod env_files;
mod flag;
mod halt;
mod host_names;
mod name;
mod named;
mod part;
mod patterns;
mod probe;
mod processes;
mod program;
mod queue_names;
mod rate;
mod schedule;
mod setting;
mod signal;
mod size;
mod socket_mode;
mod stage_names;
mod table;
#[cfg(test)]
pub(in crate::config) mod testing;
mod text;
mod with;

pub(crate) use broker_address::BrokerAddress;
pub(crate) use choice::{FramingWord, ModeWord, ReplyWord};
pub(crate) use count::Count;
pub(crate) use duration::{Pause, Period, show as show_duration};
pub(crate) use env_files::EnvFiles;
pub(crate) use halt::HaltText;
pub(crate) use host_names::HostNames;
pub(crate) use name::{Name, PipelineName};
pub(crate) use named::{Item, Named, Tables};
pub(in crate::config) use part::part;
pub(crate) use part::{Compared, Part};
pub(crate) use patterns::{PatternText, Patterns};
pub(crate) use probe::{HttpUrl, LinePattern, TcpAddress};
pub(crate) use processes::{MAX_PROCESSES, Processes};
pub(crate) use program::{DeadCodes, ExitCodes, Invocation, LaterCodes, Nice, Umask, Variables};
pub(crate) use queue_names::{QueueName, QueueNames};
pub(crate) use rate::RateText;
pub(crate) use schedule::ScheduleText;
pub(crate) use setting::{At, Key, Setting};
pub(crate) use size::{Size, show as show_size};
pub(crate) use socket_mode::SocketMode;
pub(crate) use stage_names::{StageName, StageNames};
pub(in crate::config) use table::table;
pub(crate) use table::{Fields, UnreadKeys, bare, read_table, table_schema, write_table};
pub(crate) use text::{Address, SocketPath, Word};
pub(crate) use with::With;

use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Report};
use super::document::{Content, Node};

/// A kind of setting.
pub(crate) trait Element {
    /// The value.
    type Output: Clone;

    /// Reads a value; `None` after the report says why not.
    fn read(node: &Node, report: &mut Report) -> Option<Self::Output>;

    /// The accepted form in words, as they fit after "accepted: ".
    fn accepted() -> String;

    /// The accepted form as JSON schema.
    fn schema() -> Value;

    /// A value as a file holds it; null: nothing.
    fn written(value: &Self::Output) -> Value;

    /// A value as a plan shows it.
    fn shown(value: &Self::Output) -> String {
        match Self::written(value) {
            Value::Null => "unset".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// The value where it is set, and what lies `beneath` (`[defaults]`) where it is not. Only tables have parts.
    fn over(value: Self::Output, beneath: Self::Output) -> Self::Output {
        let _ = beneath;
        value
    }
}

/// A fault of a value, with what is accepted instead.
pub(crate) fn reject<T: Element>(node: &Node, title: impl Into<String>) -> Diagnostic {
    Diagnostic::error(title).at(&node.span).accepted(T::accepted())
}

/// The fault of a value of the wrong kind.
pub(crate) fn wrong_kind<T: Element>(node: &Node, wanted: &str) -> Diagnostic {
    reject::<T>(node, format!("expected {wanted}, found {}", node.kind()))
}

/// Reads a text in which `parse` finds a value, or what is wrong with it.
fn read_text<T: Element>(
    node: &Node,
    report: &mut Report,
    wanted: &str,
    parse: impl FnOnce(&str) -> Result<T::Output, String>,
) -> Option<T::Output> {
    let Some(text) = node.text() else {
        report.push(wrong_kind::<T>(node, wanted));
        return None;
    };
    parse(text).map_err(|title| report.push(reject::<T>(node, title))).ok()
}

/// Reads one value, or a list of them. Each one is read, so that each bad one is reported. `wanted`: in place of what is neither.
fn read_several<'n, E: Element, T>(
    node: &'n Node,
    report: &mut Report,
    wanted: &str,
    mut read_one: impl FnMut(&'n Node, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let nodes = match &node.content {
        Content::Text { .. } => std::slice::from_ref(node),
        Content::List(nodes) => nodes,
        _ => {
            report.push(wrong_kind::<E>(node, wanted));
            return None;
        }
    };
    let known = nodes.iter().filter(|node| !node.is_unknown());
    let read: Vec<T> = known.filter_map(|node| read_one(node, report)).collect();
    (read.len() == nodes.len()).then_some(read)
}

/// The schema of one value, or a list of them.
fn one_or_several(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "array", "items": schema }] })
}

/// A schema that also lets a variable stand for the value: a validator sees the file before it is expanded.
pub(crate) fn or_variable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] })
}
