//! What all enums of the wire can do: print, parse, and travel as the exact string of the model.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// A string that an enum does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not one of [{}]", expected.join(", "))]
pub struct UnknownValue {
    /// The string.
    pub value: String,
    /// What the enum has.
    pub expected: &'static [&'static str],
}

/// Implements `Display`, `FromStr`, `Serialize` and `Deserialize` for an enum with `ALL`, `VALUES` and `as_str()`.
/// With `ignore_case`, strings in any case are read, and what is written is in lower case, as the service does it.
macro_rules! string_enum {
    ($name:ident) => {
        $crate::string_enum!($name, eq, str::to_owned);
    };
    ($name:ident, ignore_case) => {
        $crate::string_enum!($name, eq_ignore_ascii_case, str::to_ascii_lowercase);
    };
    ($name:ident, $equal:ident, $written:path) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownValue;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|variant| str::$equal(variant.as_str(), value));
                found.ok_or_else(|| $crate::UnknownValue { value: value.to_owned(), expected: Self::VALUES })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$written(self.as_str()))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::string_enum::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use string_enum;

/// Reads whatever can be parsed from a string.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = UnknownValue>,
    D: Deserializer<'de>,
{
    struct Parse<T>(PhantomData<T>);

    impl<T: FromStr<Err = UnknownValue>> Visitor<'_> for Parse<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
            value.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Parse(PhantomData))
}
