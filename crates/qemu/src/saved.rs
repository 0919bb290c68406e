//! What another process needs to adopt a machine.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::{Error, ErrorKind, SavedMachine};
use virtcontainers_types::{AgentEndpoint, ProcessIdentity};

/// The version of [`Saved`]. Every version that was ever written is read; the tests hold a sample of
/// each.
const VERSION: u32 = 1;

/// A machine, written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// The machine's directory.
    pub(crate) directory: PathBuf,
    /// QEMU.
    pub(crate) qemu: ProcessIdentity,
    /// The vsock helper, when there is one.
    pub(crate) helper: Option<ProcessIdentity>,
    /// Where the agent answers.
    pub(crate) endpoint: AgentEndpoint,
    /// How long one command to QEMU may take.
    pub(crate) command_deadline: Duration,
}

impl Saved {
    pub(crate) fn to_port(&self) -> SavedMachine {
        SavedMachine {
            version: VERSION,
            // A struct of paths, numbers and enums has a JSON form unless a path is not UTF-8.
            data: serde_json::to_value(self).unwrap_or_default(),
        }
    }

    pub(crate) fn from_port(saved: &SavedMachine) -> Result<Self, Error> {
        if saved.version != VERSION {
            let message = format!(
                "cannot adopt a qemu machine saved in version {}: this program reads version \
                 {VERSION}",
                saved.version
            );
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        serde_json::from_value(saved.data.clone()).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "cannot read a saved qemu machine").with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_stays_readable() {
        let sample = r#"{
            "directory": "/run/vc/sandboxes/a/vm",
            "qemu": {"pid": 10, "start_time": 100},
            "helper": {"pid": 11, "start_time": 101},
            "endpoint": {"hybrid-vsock": {"path": "/run/vc/sandboxes/a/vm/vm.vsock"}},
            "command_deadline": {"secs": 60, "nanos": 0}
        }"#;
        let data = serde_json::from_str(sample).expect("JSON");
        let port = SavedMachine { version: 1, data };
        let saved = Saved::from_port(&port).expect("a machine");
        assert_eq!(saved.qemu.pid, 10);
        assert_eq!(saved.to_port(), port);
        let later = SavedMachine { version: 2, ..port };
        let refused = Saved::from_port(&later).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::Incompatible));
    }
}
