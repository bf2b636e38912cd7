//! `metadata` of a file: Kubernetes' own fields, and a name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::value::Error;
use serde::{
    Deserialize as _, Deserializer, de::Error as _, de::Visitor, forward_to_deserialize_any,
};
use serde_json::Value;

use super::problems::Problems;
use crate::kinds::bounds::{OBJECT_NAME, matches};

/// Complaints about `metadata`, which has no schema of its own in a CRD.
pub(super) fn check(problems: &mut Problems, metadata: Option<&Value>) {
    let Some(fields) = metadata.and_then(Value::as_object) else {
        problems.add(
            "metadata",
            "is missing: write `metadata: {name: …}`".to_owned(),
        );
        return;
    };
    let known = known_fields();
    for field in fields
        .keys()
        .filter(|field| !known.contains(&field.as_str()))
    {
        problems.unknown("metadata", field, known.iter().copied(), None);
    }
    match fields.get("name") {
        Some(Value::String(name)) if matches(OBJECT_NAME, name) && name.len() <= 253 => {}
        Some(_) => problems.add(
            "metadata.name",
            "must be a lower-case name of letters, digits, `-` and `.`".to_owned(),
        ),
        None => problems.add(
            "metadata.name",
            "is missing: metrics and messages speak of it by its name".to_owned(),
        ),
    }
}

/// The fields of `metadata`.
fn known_fields() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Always an error: the deserializer notes the list that it is offered, and has no value to give.
    let _ = ObjectMeta::deserialize(Listening(&mut fields));
    fields
}

struct Listening<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listening<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("listening only"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("listening only"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
