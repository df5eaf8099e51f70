//! What stands behind the `?` of a request: `history&lines=20&stage=a`. Pure.
//!
//! A value is text, and its field decides what it means: a stage may be called `true`, and a hash may look like a number.

use serde::de::value::{Error, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;

/// The value of a type whose fields are texts, numbers and flags.
///
/// # Errors
/// When a key is unknown or comes twice, or a value does not fit.
pub(super) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "true")));
    let pairs: Vec<(&str, Text<'_>)> =
        pairs.map(|(key, value)| Ok((key, Text::of(value)?))).collect::<Result<_, Error>>()?;
    T::deserialize(MapDeserializer::new(pairs.into_iter()))
}

/// A value before its type is known.
struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    fn of(value: &'a str) -> Result<Text<'a>, Error> {
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
        decoded.map(Text).map_err(|_| Error::invalid_value(Unexpected::Str(value), &"text in UTF-8"))
    }

    fn parsed<T: std::str::FromStr>(&self, expected: &str) -> Result<T, Error> {
        self.0.parse().map_err(|_| Error::invalid_value(Unexpected::Str(&self.0), &expected))
    }
}

impl<'de> IntoDeserializer<'de, Error> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(&self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.parsed("`true` or `false`")?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.parsed("a number")?)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Dead, Logs, Nothing, Status, Tap};

    #[test]
    fn a_name_or_a_hash_stays_text_whatever_it_looks_like() {
        for name in ["true", "false", "null", "007", "1e5", "6698699609063556", "0", "-1", ""] {
            let tap: Tap = read(&format!("queue={name}")).unwrap();
            assert_eq!(tap.queue, name);
            let logs: Logs = read(&format!("stage={name}&lines=20")).unwrap();
            assert_eq!((logs.stage.as_deref(), logs.lines), (Some(name), Some(20)));
            let dead: Dead = read(&format!("group={name}&keys&most=007")).unwrap();
            assert_eq!((dead.group.as_deref(), dead.most, dead.keys), (Some(name), Some(7), true));
        }
        let tap: Tap = read("queue=a%20b%26c").unwrap();
        assert_eq!(tap.queue, "a b&c");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let said = |query| read::<Logs>(query).unwrap_err().to_string();
        assert_eq!(said("lines=all"), "invalid value: string \"all\", expected a number");
        assert_eq!(said("lines=-1"), "invalid value: string \"-1\", expected a number");
        assert_eq!(said("stage=a&stage=b"), "duplicate field `stage`");
        assert_eq!(said("stage=%ff"), "invalid value: string \"%ff\", expected text in UTF-8");
        assert!(said("stages=a").contains("unknown field `stages`"));
        assert!(
            read::<Status>("history=yes").unwrap_err().to_string().contains("expected `true` or `false`")
        );
        assert!(read::<Status>("").is_ok_and(|status| !status.history));
        assert!(read::<Nothing>("x").is_err());
    }
}
