//! JSON as values of conditions. Texts are borrowed from the item where they hold no escape.

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// A value of an item.
pub(super) struct Json<'i>(pub Box<dyn Val + 'i>);

impl<'i> Json<'i> {
    fn of(value: impl Val + 'i) -> Json<'i> {
        Json(Box::new(value))
    }
}

impl<'i> Deserialize<'i> for Json<'i> {
    fn deserialize<D: Deserializer<'i>>(from: D) -> Result<Json<'i>, D::Error> {
        from.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'i> Visitor<'i> for AnyJson {
    type Value = Json<'i>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'i>, E> {
        Ok(Json::of(CelBool::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'i>, E> {
        Ok(Json::of(CelInt::from(value)))
    }

    /// A number is an `int` where it fits: `uint` is for what is larger.
    fn visit_u64<E>(self, value: u64) -> Result<Json<'i>, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Json::of(CelInt::from(value)),
            Err(_) => Json::of(CelUInt::from(value)),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'i>, E> {
        Ok(Json::of(CelDouble::from(value)))
    }

    fn visit_borrowed_str<E>(self, text: &'i str) -> Result<Json<'i>, E> {
        Ok(Json::of(CelString::from(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'i>, E> {
        Ok(Json::of(CelString::from(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Json<'i>, E> {
        Ok(Json::of(CelNull))
    }

    fn visit_seq<A: SeqAccess<'i>>(self, mut items: A) -> Result<Json<'i>, A::Error> {
        let mut list: Vec<Box<dyn Val + 'i>> = Vec::new();
        while let Some(Json(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::of(CelList::from(list)))
    }

    fn visit_map<A: MapAccess<'i>>(self, mut entries: A) -> Result<Json<'i>, A::Error> {
        let mut map: HashMap<CelMapKey<'i>, Box<dyn Val + 'i>> = HashMap::new();
        while let Some((Json(key), Json(value))) = entries.next_entry()? {
            // A key of JSON is a text.
            if let Ok(key) = CelMapKey::try_from(key) {
                map.insert(key, value);
            }
        }
        Ok(Json::of(CelMap::from(map)))
    }
}
