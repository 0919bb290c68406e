//! The interfaces of a guest, beside what they lead to on the host.

use anyhow::bail;
use serde::Serialize;
use virtcontainers::Runtime;
use virtcontainers::types::{
    ConnectedInterface, Interface, MacAddress, NetworkStatus, SkippedInterface,
};

use super::{addresses, besides, sandbox_id};
use crate::args::Format;
use crate::args::operator::network::{NetworkAdd, NetworkRemove, NetworkShown};
use crate::output;

/// In every namespace, and the guest has its own: not worth a line.
pub(crate) const LOOPBACK: &str = "lo";

/// What `vc network list --format json` prints.
#[derive(Debug, Serialize)]
struct Listed {
    /// What the guest has.
    interfaces: Vec<Joined>,
    /// What of the namespace it has not.
    skipped: Vec<SkippedInterface>,
    /// What it has not as the namespace has it.
    notes: Vec<String>,
}

/// An interface as the guest tells it, with what the host knows of it.
#[derive(Debug, Serialize)]
struct Joined {
    #[serde(flatten)]
    interface: Interface,
    /// What carries its frames; absent when no machine's device was connected for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
}

pub(super) async fn list(runtime: &Runtime, shown: &NetworkShown) -> anyhow::Result<()> {
    let sandbox = sandbox_id(runtime, &shown.id).await?;
    let told = runtime.list_interfaces(&sandbox).await?;
    let listed = Listed::of(told, runtime.network(&sandbox).await?);
    if shown.format == Format::Json {
        return output::json(&listed);
    }
    show(&listed.interfaces)?;
    let skipped = listed.skipped.iter().filter(|one| one.link != LOOPBACK);
    besides(skipped.map(|one| (&*one.link, &*one.reason)), &listed.notes)
}

pub(super) async fn add(runtime: &Runtime, wanted: NetworkAdd) -> anyhow::Result<()> {
    let sandbox = sandbox_id(runtime, &wanted.id).await?;
    let interface = Interface {
        name: wanted.name.unwrap_or_else(|| wanted.link.clone()),
        device: wanted.link,
        addresses: wanted.addresses,
        mtu: wanted.mtu.unwrap_or(0),
        raw_flags: 0,
        // The link's own.
        hardware_address: MacAddress([0; 6]),
        pci_path: None,
        link_type: String::new(),
    };
    let added = runtime.add_interface(&sandbox, interface).await?;
    let connected = runtime.network(&sandbox).await?.interfaces;
    let joined = Joined::of(added, &connected);
    match wanted.format {
        Format::Json => output::json(&joined),
        Format::Table => show(&[joined]),
    }
}

pub(super) async fn remove(runtime: &Runtime, wanted: &NetworkRemove) -> anyhow::Result<()> {
    let sandbox = sandbox_id(runtime, &wanted.id).await?;
    let address = match wanted.interface.parse() {
        Ok(address) => address,
        Err(_) => named(
            &runtime.network(&sandbox).await?.interfaces,
            &wanted.interface,
        )?,
    };
    runtime.remove_interface(&sandbox, address).await?;
    Ok(())
}

/// The address of the interface with this name in the guest, or else in the namespace.
fn named(connected: &[ConnectedInterface], name: &str) -> anyhow::Result<MacAddress> {
    let in_guest = connected.iter().find(|one| one.interface.name == name);
    let found = in_guest.or_else(|| connected.iter().find(|one| one.link == name));
    if let Some(found) = found {
        return Ok(found.interface.hardware_address);
    }
    let names: Vec<&str> = connected.iter().map(|one| &*one.interface.name).collect();
    match names.is_empty() {
        true => bail!("the machine has no interface {name:?}: it has none at all"),
        false => bail!(
            "the machine has no interface {name:?}: it has {}",
            names.join(", ")
        ),
    }
}

fn show(interfaces: &[Joined]) -> anyhow::Result<()> {
    let row = |joined: &Joined| {
        let interface = &joined.interface;
        [
            interface.name.clone(),
            interface.hardware_address.to_string(),
            interface.mtu.to_string(),
            interface.device.clone(),
            interface.link_type.clone(),
            joined.carrier.clone().unwrap_or_default(),
            interface
                .pci_path
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            addresses(interface),
        ]
    };
    let rows: Vec<_> = interfaces.iter().map(row).collect();
    output::table(
        [
            "NAME",
            "MAC",
            "MTU",
            "LINK",
            "KIND",
            "BY",
            "PCI",
            "ADDRESSES",
        ],
        &rows,
    )
}

impl Listed {
    fn of(told: Vec<Interface>, status: NetworkStatus) -> Self {
        let mut notes = status.notes;
        if status.interfaces.is_empty() {
            let note = "no interface of the sandbox's namespace is connected to the machine";
            notes.push(note.to_owned());
        }
        let interfaces = told.into_iter();
        Self {
            interfaces: interfaces
                .map(|interface| Joined::of(interface, &status.interfaces))
                .collect(),
            skipped: status.skipped,
            notes,
        }
    }
}

impl Joined {
    fn of(told: Interface, connected: &[ConnectedInterface]) -> Self {
        let same =
            |one: &&ConnectedInterface| one.interface.hardware_address == told.hardware_address;
        let Some(known) = connected.iter().find(same) else {
            // The guest's own, such as its loopback interface: nothing on the host leads to it.
            return Self {
                interface: Interface {
                    device: String::new(),
                    ..told
                },
                carrier: None,
            };
        };
        Self {
            interface: Interface {
                device: known.link.clone(),
                link_type: known.kind.clone(),
                pci_path: told.pci_path.or_else(|| known.interface.pci_path.clone()),
                ..told
            },
            carrier: Some(known.carrier.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, last: u8) -> Interface {
        Interface {
            device: String::new(),
            name: name.to_owned(),
            addresses: Vec::new(),
            mtu: 1500,
            raw_flags: 0,
            hardware_address: MacAddress([2, 0, 0, 0, 0, last]),
            pci_path: None,
            link_type: String::new(),
        }
    }

    fn connected(link: &str, name: &str, last: u8) -> ConnectedInterface {
        ConnectedInterface {
            link: link.to_owned(),
            kind: "veth".to_owned(),
            carrier: "tap".to_owned(),
            device: "net0".to_owned(),
            interface: interface(name, last),
        }
    }

    #[test]
    fn the_guests_interfaces_are_joined_by_their_addresses() {
        let mut told = vec![interface("lo", 0), interface("data", 7)];
        told[0].device = "lo".to_owned();
        let status = NetworkStatus {
            interfaces: vec![connected("eth0", "web", 1), connected("veth7", "data", 7)],
            ..NetworkStatus::default()
        };
        let listed = Listed::of(told, status);
        let [lo, data] = &listed.interfaces[..] else {
            panic!("{listed:?}");
        };
        assert_eq!((&*lo.interface.device, lo.carrier.as_deref()), ("", None));
        assert_eq!(data.interface.device, "veth7");
        assert_eq!(data.interface.link_type, "veth");
        assert_eq!(data.carrier.as_deref(), Some("tap"));
        assert!(listed.notes.is_empty());
        let none = Listed::of(Vec::new(), NetworkStatus::default());
        assert_eq!(none.notes.len(), 1, "silence would be no answer");
    }

    #[test]
    fn names_in_the_guest_come_first() {
        let all = [connected("eth0", "web", 1), connected("web", "data", 2)];
        let address = |name: &str| named(&all, name).map(|address| address.0[5]);
        assert_eq!(address("web").unwrap(), 1);
        assert_eq!(address("data").unwrap(), 2);
        assert_eq!(address("eth0").unwrap(), 1);
        let error = address("eth9").unwrap_err().to_string();
        assert!(error.contains("web, data"), "{error}");
        assert!(
            named(&[], "eth0")
                .unwrap_err()
                .to_string()
                .contains("none at all")
        );
    }
}
