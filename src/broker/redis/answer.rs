//! What the server answers, as plain values; its errors, told apart.

use crate::broker::{Fault, Full, Judged, Lease, Letter, Sequence, SharedQueue, Verdict};
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value};

/// Refused by the server because its memory is full.
pub(super) fn is_out_of_memory(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed")
}

/// Out of a script the error has no code of its own.
fn is_no_right(error: &RedisError) -> bool {
    let text = error.to_string();
    ["NOPERM", "no permissions to", "user executing the script"].iter().any(|words| text.contains(words))
}

/// Out of a script of Redis 6.2 the error has no code of its own.
fn is_other_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || error.to_string().contains("WRONGTYPE")
}

/// The error does not say which key it is: see `types.rs`.
pub(super) fn other_type() -> Fault {
    Fault::Fatal(
        "a key of the pipeline is of another type there: rename it, or give the pipeline another `prefix`"
            .into(),
    )
}

/// The command that the server does not have: by its own words, or by those of `refusal` in `lib.lua`.
fn missing_command(error: &RedisError) -> Option<&str> {
    let detail = error.detail()?;
    match error.code()? {
        "NOCOMMAND" => Some(detail),
        "ERR" => {
            detail.strip_prefix("unknown command ")?.split(['\'', '`', ',']).find(|word| !word.is_empty())
        }
        _ => None,
    }
}

/// What stays so until the server has other settings is no outage: see [`Fault::Unfit`].
fn unfit(error: &RedisError) -> Option<Fault> {
    if let Some(command) = missing_command(error) {
        return Some(Fault::Unfit(format!(
            "the server has no command {command}: its own file takes it away (`rename-command`), it is older than Redis 6.2, or it \
             is a Sentinel, which holds no items"
        )));
    }
    // SLOT HOST:PORT
    let place = error.detail().filter(|_| error.code() == Some("MOVED"))?.split(' ').nth(1)?;
    Some(Fault::Unfit(format!(
        "the pipeline's keys lie on another server of the cluster: write its address, `redis://{place}`"
    )))
}

/// Why the server has not gone to the database behind the address.
pub(super) fn refused_database(error: &RedisError, number: i64) -> Fault {
    match error.code() {
        Some("ERR") if missing_command(error).is_none() => Fault::Unfit(format!(
            "it has no database {number}: write a number below its `databases` (16 by default) behind the address; in a cluster \
             there is 0 alone"
        )),
        _ => fault(error),
    }
}

pub(super) fn fault(error: &RedisError) -> Fault {
    let code = error.code().unwrap_or_default();
    match error.kind() {
        _ if is_out_of_memory(error) => Fault::Full("its memory is at `maxmemory`".into()),
        ErrorKind::AuthenticationFailed => Fault::wrong_password(),
        _ if ["WRONGPASS", "NOAUTH"].contains(&code) => Fault::wrong_password(),
        _ if is_no_right(error) => Fault::Denied(format!("the broker refuses: {error}")),
        ErrorKind::Server(ServerErrorKind::NoPerm) => Fault::Denied(format!("the broker refuses: {error}")),
        ErrorKind::InvalidClientConfig => Fault::Fatal(format!("the broker refuses: {error}")),
        ErrorKind::RESP3NotSupported => Fault::Fatal("the server is too old: Redis 6.2 is needed".into()),
        _ if is_other_type(error) => other_type(),
        _ if error.is_timeout() => Fault::no_answer(),
        _ => unfit(error).unwrap_or_else(|| Fault::Away(error.to_string())),
    }
}

pub(super) fn unexpected(answer: &Value) -> Fault {
    Fault::Fatal(format!("an answer of the broker has no meaning here: {answer:?}"))
}

pub(super) fn parsed<T: FromRedisValue>(value: Value) -> Result<T, Fault> {
    T::from_redis_value(value).map_err(|error| Fault::Fatal(format!("an answer of the broker: {error}")))
}

pub(super) fn sequence(text: &str) -> Result<Sequence, Fault> {
    text.parse().map_err(|_| Fault::Fatal(format!("the broker names an entry `{text}`")))
}

pub(super) fn sequences(value: Value) -> Result<Vec<Sequence>, Fault> {
    parsed::<Vec<String>>(value)?.iter().map(|text| sequence(text)).collect()
}

/// A script that answers with a word says that this life is none any more.
pub(super) fn unless_superseded(value: Value) -> Result<Value, Fault> {
    match value {
        Value::BulkString(_) | Value::SimpleString(_) => Err(Fault::Superseded),
        value => Ok(value),
    }
}

/// What a command has answered in a transaction.
fn answered(answer: Option<Value>) -> Result<Value, Fault> {
    match answer {
        Some(Value::ServerError(error)) => Err(fault(&error.into())),
        answer => Ok(answer.unwrap_or(Value::Nil)),
    }
}

/// The answers of `take.lua` and of the XREADGROUP behind it, which finds no stream unless all is new.
pub(super) fn taken(answers: Vec<Value>) -> Result<Vec<Lease>, Fault> {
    let mut answers = answers.into_iter();
    let rows: Vec<(String, Vec<u8>, u32, u32)> = parsed(unless_superseded(answered(answers.next())?)?)?;
    let lease = |(id, item, attempts, deliveries): (String, Vec<u8>, _, _)| {
        Ok(Lease { sequence: sequence(&id)?, item: item.into(), attempts, deliveries })
    };
    let mut leases = rows.into_iter().map(lease).collect::<Result<Vec<_>, Fault>>()?;
    let streams = match answers.next() {
        Some(Value::ServerError(error)) if error.code() == "NOGROUP" => return Ok(leases),
        Some(Value::Nil) | None => return Ok(leases),
        answer => answered(answer)?,
    };
    for entries in entries_of(streams)? {
        let entries = array(entries)?;
        leases.reserve(entries.len());
        for entry in entries {
            leases.push(new_lease(entry)?);
        }
    }
    Ok(leases)
}

fn array(value: Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(unexpected(&other)),
    }
}

/// Of each stream that an XREADGROUP has found.
fn entries_of(streams: Value) -> Result<Vec<Value>, Fault> {
    match streams {
        Value::Map(streams) => Ok(streams.into_iter().map(|(_, entries)| entries).collect()),
        streams => {
            let entries = |stream: Value| array(stream)?.pop().ok_or_else(|| unexpected(&Value::Nil));
            array(streams)?.into_iter().map(entries).collect()
        }
    }
}

/// An entry that no machine has had: its id, and the name of its one field with what it holds. Without the crate's conversions, which
/// need as much time as all the rest of the link's work on an item.
fn new_lease(entry: Value) -> Result<Lease, Fault> {
    let mut entry = array(entry)?;
    let (fields, id) = (entry.pop().unwrap_or(Value::Nil), entry.pop().unwrap_or(Value::Nil));
    let Value::BulkString(id) = id else { return Err(unexpected(&id)) };
    let sequence = std::str::from_utf8(&id).ok().and_then(|id| id.parse().ok());
    let sequence = sequence.ok_or_else(|| unexpected(&Value::BulkString(id)))?;
    match array(fields)?.pop() {
        Some(Value::BulkString(item)) => {
            Ok(Lease { sequence, item: item.into(), attempts: 0, deliveries: 1 })
        }
        other => Err(unexpected(&other.unwrap_or(Value::Nil))),
    }
}

pub(super) fn letters(value: Value) -> Result<Vec<Letter>, Fault> {
    type Fields = (String, Vec<u8>, String, String, String, u32, String, String);
    let rows: Vec<(String, Fields)> = parsed(value)?;
    let letter = |(id, (_, item, _, cause, _, attempts, _, _)): (String, Fields)| {
        Ok(Letter { sequence: sequence(&id)?, item, cause, attempts })
    };
    rows.into_iter().map(letter).collect()
}

pub(super) fn judged(value: Value, queues: &[SharedQueue]) -> Result<Judged, Fault> {
    let mut words = match value {
        Value::Array(words) => words.into_iter(),
        other => return Err(unexpected(&other)),
    };
    match parsed::<String>(words.next().unwrap_or(Value::Nil))?.as_str() {
        "judged" => {}
        "superseded" => return Err(Fault::Superseded),
        other => return Err(unexpected(&Value::SimpleString(other.into()))),
    }
    let before = parsed(words.next().unwrap_or(Value::Nil))?;
    let verdicts: String = parsed(words.next().unwrap_or(Value::Nil))?;
    let full: Option<usize> = words.next().map(parsed).transpose()?;
    let verdict = |letter| if letter == 'd' { Verdict::Done } else { Verdict::Refused };
    Ok(Judged {
        verdicts: verdicts.chars().map(verdict).collect(),
        full: full.and_then(|n| queues.get(n)).map(|&queue| Full::Queue(queue)),
        before,
    })
}

/// Of a request that went in several scripts. Where one has found no room those behind it have done nothing.
pub(super) fn judged_in_parts(
    answers: impl Iterator<Item = Value>,
    queues: &[SharedQueue],
) -> Result<Judged, Fault> {
    let mut all: Option<Judged> = None;
    for answer in answers {
        let part = judged(answered(Some(answer))?, queues)?;
        match &mut all {
            None => all = Some(part),
            Some(all) => {
                all.verdicts.extend(part.verdicts);
                all.full = all.full.or(part.full);
            }
        }
    }
    all.ok_or_else(|| unexpected(&Value::Nil))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn entry(id: &str, item: &str) -> Value {
        Value::Array(vec![text(id), Value::Array(vec![text("item"), text(item)])])
    }

    #[test]
    fn what_was_given_back_and_what_is_new_are_leases_in_both_versions_of_the_protocol() {
        let again =
            || Value::Array(vec![Value::Array(vec![text("5-1"), text("a"), Value::Int(2), Value::Int(3)])]);
        let entries = || Value::Array(vec![entry("7-0", "b"), entry("7-1", "")]);
        let as_map = Value::Map(vec![(text("stream"), entries())]);
        let as_array = Value::Array(vec![Value::Array(vec![text("stream"), entries()])]);
        for new in [as_map, as_array] {
            let leases = taken(vec![again(), new, Value::Okay]).unwrap();
            let seen = leases
                .iter()
                .map(|lease| (lease.sequence, &lease.item[..], lease.attempts, lease.deliveries));
            let expected = [
                (Sequence(5, 1), &b"a"[..], 2, 3),
                (Sequence(7, 0), b"b", 0, 1),
                (Sequence(7, 1), b"", 0, 1),
            ];
            assert!(seen.eq(expected), "{leases:?}");
        }
        assert_eq!(taken(vec![again(), Value::Nil]).unwrap().len(), 1);
        assert_eq!(taken(vec![again()]).unwrap().len(), 1);
    }

    #[test]
    fn an_answer_of_another_shape_is_a_fault() {
        let none = || Value::Array(Vec::new());
        let without_a_number = Value::Map(vec![(text("stream"), Value::Array(vec![entry("x", "b")]))]);
        let without_fields =
            Value::Map(vec![(text("stream"), Value::Array(vec![Value::Array(vec![text("7-0")])]))]);
        for new in [without_a_number, without_fields, Value::Int(1), Value::Array(vec![Value::Int(1)])] {
            assert!(matches!(taken(vec![none(), new]), Err(Fault::Fatal(_))));
        }
    }
}
