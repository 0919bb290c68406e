//! Values with a text form: parsed and printed the same way, and stored as that text.

/// Gives a type that has `Display` and `FromStr` the conversions that serde's attribute
/// `#[serde(try_from = "String", into = "String")]` wants.
macro_rules! stored_as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = $crate::Error;

            fn try_from(text: String) -> Result<Self, $crate::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

pub(crate) use stored_as_text;

/// The colon-separated parts of `text`, exactly `N`, none empty and none with white space, which
/// separates the entries of lists. The reason says which part is wrong, by its name.
pub(crate) fn parts<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[&'a str; N], String> {
    let found: Vec<&str> = text.split(':').collect();
    let found: [&str; N] = found.try_into().map_err(|found: Vec<_>| {
        format!("it has {} parts, write {}", found.len(), names.join(":"))
    })?;
    for (part, name) in found.iter().zip(names) {
        if part.is_empty() {
            return Err(format!("the {name} is empty, write {}", names.join(":")));
        }
        if part.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!(
                "the {name} has white space, which separates entries"
            ));
        }
    }
    Ok(found)
}

/// Why a path that has to be absolute is not accepted.
pub(crate) fn absolute(path: &str, name: &str) -> Result<(), String> {
    match path.starts_with('/') {
        true => Ok(()),
        false => Err(format!("the {name} is not absolute")),
    }
}
