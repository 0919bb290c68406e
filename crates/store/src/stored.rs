//! A value that stays the text it was read from until somebody asks for it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Error;
use crate::error::Problem;

/// A value kept as JSON text, parsed on first use and written back verbatim.
///
/// Clones share the text and the parsed value, so that a copy of a record costs next to nothing.
/// Two are equal when their texts are.
pub struct Stored<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    text: Box<str>,
    value: OnceLock<T>,
}

impl<T> Stored<T> {
    /// Takes text for a value without looking at it.
    pub(crate) fn from_text(text: Box<str>) -> Self {
        let value = OnceLock::new();
        Self {
            shared: Arc::new(Shared { text, value }),
        }
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        &self.shared.text
    }
}

impl<T: Serialize> Stored<T> {
    /// Keeps `value`, as text and as it is.
    ///
    /// Errors: `Internal` when it cannot be written as JSON.
    pub fn new(value: T) -> Result<Self, Error> {
        Self::encode(value)
            .map_err(|source| Error::new("store a value", Problem::Encode { source }))
    }

    pub(crate) fn encode(value: T) -> serde_json::Result<Self> {
        let text = serde_json::to_string(&value)?.into();
        let value = OnceLock::from(value);
        Ok(Self {
            shared: Arc::new(Shared { text, value }),
        })
    }
}

impl<T: DeserializeOwned> Stored<T> {
    /// The value; the text is parsed by the first call.
    ///
    /// Errors: `Corrupt`, naming the type that was expected.
    pub fn get(&self) -> Result<&T, Error> {
        if let Some(value) = self.shared.value.get() {
            return Ok(value);
        }
        let value = parse(self.text())?;
        Ok(self.shared.value.get_or_init(|| value))
    }

    /// The value itself. It is parsed anew when clones of this one live on, who keep theirs.
    ///
    /// Errors as [`get`](Self::get).
    pub fn into_inner(self) -> Result<T, Error> {
        match Arc::try_unwrap(self.shared) {
            Ok(Shared { text, value }) => value.into_inner().map_or_else(|| parse(&text), Ok),
            Err(shared) => parse(&shared.text),
        }
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| {
        let name = std::any::type_name::<T>();
        let expected = name.rsplit("::").next().unwrap_or(name);
        let problem = Problem::Unexpected { expected, source };
        Error::new("read a stored value", problem)
    })
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> PartialEq for Stored<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) || self.text() == other.text()
    }
}

impl<T> fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stored").field(&self.text()).finish()
    }
}

impl<T> Serialize for Stored<T> {
    /// The text as it is. It goes through `serde_json` only: another format is given a string.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.text()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Stored<T> {
    /// Any JSON, from `serde_json` only, and neither inside a flattened nor an untagged type.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self::from_text(raw.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_is_untouched_is_written_verbatim() {
        let text = r#"{"a":[ 1,  2 ]}"#;
        let stored: Stored<std::collections::BTreeMap<String, Vec<u8>>> =
            serde_json::from_str(text).unwrap();
        let copy = stored.clone();
        assert_eq!(stored.get().unwrap()["a"], [1, 2]);
        assert!(std::ptr::eq(copy.get().unwrap(), stored.get().unwrap()));
        assert_eq!(serde_json::to_string(&stored).unwrap(), text);
        assert_eq!(copy.into_inner().unwrap()["a"], [1, 2]);
        assert_eq!(stored.into_inner().unwrap()["a"], [1, 2]);
    }

    #[test]
    fn what_is_something_else_is_named() {
        let stored: Stored<virtcontainers_types::ContainerConfig> =
            serde_json::from_str("[1]").unwrap();
        let error = stored.get().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("ContainerConfig"), "{error}");
        assert_eq!(stored.into_inner().unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn equal_is_who_has_equal_text() {
        assert_eq!(Stored::new(1).unwrap(), Stored::from_text("1".into()));
        assert_ne!(Stored::new(1).unwrap(), Stored::from_text("2".into()));
    }
}
