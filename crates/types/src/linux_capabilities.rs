//! Capabilities of a process (capabilities(7)), by name and in a stable order.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Error;
use crate::text::stored_as_text;

/// The names that Linux 6.1 knows, without the prefix (`include/uapi/linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One capability, in text `CAP_NET_RAW`; the prefix may be left out, and case does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CapabilityName(u8);

impl CapabilityName {
    /// Every capability, in the order of the kernel's numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).map(Self).take(NAMES.len())
    }

    /// The kernel's number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The name without its prefix: `NET_RAW`.
    pub const fn bare(self) -> &'static str {
        NAMES[self.0 as usize]
    }
}

impl fmt::Display for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", self.bare())
    }
}

impl FromStr for CapabilityName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Self::all().find(|name| name.bare() == bare).ok_or_else(|| {
            let reason = "there is no such capability, see capabilities(7)";
            Error::invalid("capability", text, reason)
        })
    }
}

stored_as_text!(CapabilityName);

/// The five sets of a process. From JSON it is read in the object form of the OCI runtime
/// specification, in the older form of one list for all sets, and from `null`, which is empty;
/// it is written as an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LinuxCapabilities {
    /// The most that a program it executes can get.
    pub bounding: BTreeSet<CapabilityName>,
    /// What the kernel checks.
    pub effective: BTreeSet<CapabilityName>,
    /// What stays over an execve of a program with file capabilities.
    pub inheritable: BTreeSet<CapabilityName>,
    /// What it may make effective.
    pub permitted: BTreeSet<CapabilityName>,
    /// What stays over an execve of any program.
    pub ambient: BTreeSet<CapabilityName>,
}

impl LinuxCapabilities {
    /// The same capabilities in all five sets.
    pub fn in_all_sets(names: BTreeSet<CapabilityName>) -> Self {
        Self {
            bounding: names.clone(),
            effective: names.clone(),
            inheritable: names.clone(),
            permitted: names.clone(),
            ambient: names,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sets {
    bounding: BTreeSet<CapabilityName>,
    effective: BTreeSet<CapabilityName>,
    inheritable: BTreeSet<CapabilityName>,
    permitted: BTreeSet<CapabilityName>,
    ambient: BTreeSet<CapabilityName>,
}

impl<'de> Deserialize<'de> for LinuxCapabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let value = serde_json::Value::deserialize(deserializer)?;
        match value {
            serde_json::Value::Null => Ok(Self::default()),
            serde_json::Value::Array(_) => serde_json::from_value(value)
                .map(Self::in_all_sets)
                .map_err(D::Error::custom),
            serde_json::Value::Object(_) => {
                let sets: Sets = serde_json::from_value(value).map_err(D::Error::custom)?;
                Ok(Self {
                    bounding: sets.bounding,
                    effective: sets.effective,
                    inheritable: sets.inheritable,
                    permitted: sets.permitted,
                    ambient: sets.ambient,
                })
            }
            _ => Err(D::Error::custom(
                "capabilities are an object with five lists, or one list",
            )),
        }
    }
}
