//! `config.json` as a specification; what is wrong is told with line, column and field.

use std::path::Path;

use oci_spec::runtime::Spec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::vm::{VmWishes, Written};
use crate::{Error, ErrorKind};

/// The part that `oci-spec` does not know whole.
#[derive(Deserialize)]
struct Beside {
    vm: Option<Written>,
}

/// `file` is named in errors, which are `Invalid`, or those of the `vm` object.
pub(super) fn specification(text: &[u8], file: &Path) -> Result<(Spec, Option<VmWishes>), Error> {
    let beside: Beside = parse(text).map_err(|wrong| wrong.told(file))?;
    let wishes = beside
        .vm
        .map(Written::wishes)
        .transpose()
        .map_err(|error| {
            let message = format!("{} asks for a machine that cannot be", file.display());
            Error::new(error.kind(), message).because(error)
        })?;
    let spec = match parse::<Spec>(text) {
        Ok(spec) => spec,
        Err(wrong) if wrong.is_another_form() => other_form(text).ok_or(wrong.told(file))?,
        Err(wrong) => return Err(wrong.told(file)),
    };
    Ok((spec, wishes))
}

struct Wrong {
    field: String,
    source: serde_json::Error,
}

impl Wrong {
    /// Two fields have forms that `oci-spec` does not know.
    fn is_another_form(&self) -> bool {
        self.field == "vm"
            || self.field.starts_with("vm.")
            || self.field.starts_with("process.capabilities[")
    }

    fn told(self, file: &Path) -> Error {
        let (line, column) = (self.source.line(), self.source.column());
        let field = match self.field.as_str() {
            // serde_path_to_error's word for the document itself.
            "." => String::new(),
            field => format!(", field {field}"),
        };
        let message = format!(
            "cannot understand {} at line {line} column {column}{field}",
            file.display()
        );
        Error::new(ErrorKind::Invalid, message).because(self.source)
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Wrong> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| Wrong {
        field: error.path().to_string(),
        source: error.into_inner(),
    })?;
    reader.end().map_err(|source| Wrong {
        field: ".".to_owned(),
        source,
    })?;
    Ok(value)
}

/// A specification whose `vm` object has no kernel, which is read apart, or whose capabilities are
/// one list for all sets, as before version 1.0 of the runtime specification.
fn other_form(text: &[u8]) -> Option<Spec> {
    let mut document: Value = serde_json::from_slice(text).ok()?;
    document.as_object_mut()?.remove("vm");
    if let Some(capabilities) = document.pointer_mut("/process/capabilities")
        && capabilities.is_array()
    {
        let list = capabilities.take();
        *capabilities = serde_json::json!({
            "bounding": list, "effective": list, "inheritable": list, "permitted": list,
        });
    }
    serde_json::from_value(document).ok()
}

#[cfg(test)]
mod tests {
    use virtcontainers_types::VcpuCount;

    use super::*;

    fn read(text: &str) -> Result<(Spec, Option<VmWishes>), Error> {
        specification(text.as_bytes(), Path::new("/b/config.json"))
    }

    #[test]
    fn a_mistake_has_line_column_and_field() {
        let rows = [
            ("{\n \"root\": }", "line 2 column 10"),
            (
                r#"{"ociVersion": "1.2.0",
"mounts": [{"destination": "/a"}, {"destination": 7}]}"#,
                "line 2 column 51, field mounts[1].destination",
            ),
            (
                r#"{"ociVersion": "1.2.0", "process": {"args": ["a"], "cwd": "/", "user": {"uid": -1, "gid": 0}}}"#,
                "field process.user.uid",
            ),
            (
                r#"{"ociVersion": "1.2.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": {"bounding": ["CAP_FLY"]}}}"#,
                "field process.capabilities.bounding",
            ),
            (
                r#"{"ociVersion": "1.2.0", "vm": {"hwConfig": {"vcpus": "two"}}}"#,
                "field vm.hwConfig.vcpus",
            ),
            (r#"{"ociVersion": "1.2.0"} x"#, "line 1 column 25"),
        ];
        for (text, part) in rows {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_machine_without_a_kernel_is_understood() {
        let (_, wishes) =
            read(r#"{"ociVersion": "1.3.0", "vm": {"hwConfig": {"vcpus": 2}}}"#).unwrap();
        assert_eq!(wishes.unwrap().vcpus, VcpuCount::new(2).ok());
    }

    #[test]
    fn capabilities_as_one_list_are_for_all_sets_but_the_ambient_one() {
        let (spec, _) = read(
            r#"{"ociVersion": "1.2.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0},
                "capabilities": ["CAP_KILL"]}}"#,
        )
        .unwrap();
        let sets = spec.process().clone().unwrap().capabilities().clone();
        let sets = sets.unwrap();
        for set in [
            sets.bounding(),
            sets.effective(),
            sets.inheritable(),
            sets.permitted(),
        ] {
            assert_eq!(set.as_ref().map(|set| set.len()), Some(1));
        }
        assert!(sets.ambient().as_ref().is_none_or(|set| set.is_empty()));
    }
}
