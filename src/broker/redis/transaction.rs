//! Scripts and plain commands that happen in one step. What is long goes by plain commands: in a script Lua copies each byte of it and
//! hashes it, at some nanoseconds a byte.
//!
//! A script can't keep a command behind it from happening, but for one that finds no stream: so these name it as no stream is named,
//! and the script gives it that name (`open` in `lib.lua`). The last command gives the stream its own name back.

use super::keys::QueueKeys;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, Script, ServerErrorKind, Value};

pub(super) struct Transaction {
    pipe: Pipeline,
    commands: usize,
}

impl Transaction {
    pub(super) fn new() -> Transaction {
        let mut pipe = redis::pipe();
        pipe.ignore_errors().cmd("MULTI");
        Transaction { pipe, commands: 0 }
    }

    /// The number of its answer.
    pub(super) fn add(&mut self, command: Cmd) -> usize {
        self.pipe.add_command(command);
        self.commands += 1;
        self.commands - 1
    }

    pub(super) fn close(&mut self, queue: &QueueKeys) {
        let mut rename = redis::cmd("RENAME");
        rename.arg(&queue.open).arg(&queue.stream);
        self.add(rename);
    }

    /// The answers of all commands; errors are among them. `script`: the one that it has.
    pub(super) async fn run(
        mut self,
        connection: &mut MultiplexedConnection,
        script: &Script,
    ) -> Result<Vec<Value>, RedisError> {
        self.pipe.cmd("EXEC");
        let answers = answers(self.pipe.query_async(connection).await?)?;
        if !answers.iter().any(is_no_script) {
            return Ok(answers);
        }
        // No stream was open, so nothing has happened.
        script.load_async(connection).await?;
        self::answers(self.pipe.query_async(connection).await?)
    }
}

/// Where the whole did not happen, the reason comes before.
fn answers(mut all: Vec<Value>) -> Result<Vec<Value>, RedisError> {
    let last = all.pop();
    let refused = all.into_iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(error),
        _ => None,
    });
    match (last, refused) {
        (Some(Value::Array(answers)), None) => Ok(answers),
        (_, Some(error)) | (Some(Value::ServerError(error)), None) => Err(error.into()),
        (_, None) => Err((redis::ErrorKind::UnexpectedReturnType, "no answer to a transaction").into()),
    }
}

fn is_no_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}
