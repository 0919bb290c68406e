//! Annotations about the network: how frames get to the machine, and how many.

use virtcontainers_types::NetworkModel;

use super::invalid;
use crate::Error;

/// What the annotations of a container ask of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkOverrides {
    /// How frames get to the machine.
    pub model: Option<NetworkModel>,
    /// Make no namespace for the sandbox.
    pub disable_new_netns: Option<bool>,
    /// Use the kernel's vhost-net where the host has it.
    pub vhost: Option<bool>,
    /// Bytes a second to the guest, on each interface; zero is no limit.
    pub inbound: Option<u64>,
    /// Bytes a second from the guest, on each interface; zero is no limit.
    pub outbound: Option<u64>,
}

/// A setting of the network. Names and values are kata-containers' own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Setting {
    Model,
    DisableNewNetns,
    DisableVhost,
    Inbound,
    Outbound,
}

impl NetworkOverrides {
    /// Errors: `Invalid` for a value that cannot be understood; `key` is named.
    pub(super) fn set(&mut self, setting: Setting, key: &str, value: &str) -> Result<(), Error> {
        match setting {
            Setting::Model => self.model = Some(model(key, value)?),
            Setting::DisableNewNetns => self.disable_new_netns = Some(truth(key, value)?),
            Setting::DisableVhost => self.vhost = Some(!truth(key, value)?),
            Setting::Inbound => self.inbound = Some(rate(key, value)?),
            Setting::Outbound => self.outbound = Some(rate(key, value)?),
        }
        Ok(())
    }
}

fn model(key: &str, value: &str) -> Result<NetworkModel, Error> {
    match value {
        "default" | "tcfilter" => Ok(NetworkModel::TcFilter),
        "macvtap" => Ok(NetworkModel::MacVtap),
        "bridged" => Ok(NetworkModel::Bridged),
        "none" => Ok(NetworkModel::None),
        _ => Err(invalid(format!(
            "annotation {key} says {value:?}: write tcfilter, macvtap, bridged or none"
        ))),
    }
}

fn truth(key: &str, value: &str) -> Result<bool, Error> {
    value.parse().map_err(|_| {
        invalid(format!(
            "annotation {key} says {value:?}: write true or false"
        ))
    })
}

/// Bytes a second of bits a second; what is less than a byte is one, since none is no limit.
fn rate(key: &str, value: &str) -> Result<u64, Error> {
    match value.parse::<u64>() {
        Ok(0) => Ok(0),
        Ok(bits) => Ok((bits / 8).max(1)),
        Err(_) => Err(invalid(format!(
            "annotation {key} says {value:?}: write bits a second as a number, 0 for no limit"
        ))),
    }
}
