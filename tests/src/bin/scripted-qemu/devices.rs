//! The network devices of the machine, and the parts that they are made of, as far as the backend
//! asks for them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::machine::{Answer, NOT_FOUND};

const PERIPHERAL: &str = "/machine/peripheral";
const DRIVER: &str = "virtio-net-pci";

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// Descriptors that were given a name and not used.
    descriptors: BTreeSet<String>,
    netdevs: BTreeSet<String>,
    /// The slots of devices, by their names.
    slots: BTreeMap<String, u64>,
    /// Devices that the guest is to let go and, halted, has not.
    leaving: BTreeSet<String>,
}

impl Devices {
    /// Those of the command line.
    pub(crate) fn of(args: &[String]) -> Self {
        let mut devices = Self::default();
        for (option, words) in args.iter().zip(args.iter().skip(1)) {
            let member = |start| crate::member(words, start).unwrap_or_default();
            if option == "-netdev" {
                devices.netdevs.insert(member("id=").to_owned());
            } else if option == "-device" && words.starts_with(DRIVER) {
                let slot = member("addr=");
                devices.slots.insert(member("id=").to_owned(), number(slot));
            }
        }
        devices
    }

    /// Executes a command about devices; `None` for any other. A command that asks the guest to let a
    /// device go answers before it has.
    pub(crate) fn execute(&mut self, name: &str, arguments: &Value) -> Option<Answer> {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let answer = match name {
            "getfd" => {
                self.descriptors.insert(text("fdname"));
                Ok(json!({}))
            }
            "closefd" => found(self.descriptors.remove(&text("fdname")), "GenericError"),
            "netdev_add" => self.netdev_add(&text("id"), &text("fds")),
            "netdev_del" => found(self.netdevs.remove(&text("id")), NOT_FOUND),
            "query-chardev" => Ok(json!([])),
            "query-kvm" => Ok(json!({"enabled": false, "present": false})),
            "device_add" => self.device_add(&text("id"), &text("netdev"), &text("addr")),
            "device_del" => {
                let id = text("id");
                let is_there = self.slots.contains_key(&id);
                if is_there {
                    self.leaving.insert(id);
                }
                found(is_there, NOT_FOUND)
            }
            "qom-list" if text("path") == PERIPHERAL => Ok(self.list()),
            "qom-get" => {
                let path = text("path");
                let id = path.strip_prefix(PERIPHERAL).unwrap_or_default();
                let slot = self.slots.get(id.trim_start_matches('/'));
                slot.map(|slot| json!(slot << 3))
                    .ok_or((NOT_FOUND, "there is no such device"))
            }
            "human-monitor-command" => Ok(json!(self.info())),
            _ => return None,
        };
        Some(answer)
    }

    /// What the guest lets go when its CPUs run.
    pub(crate) fn let_go(&mut self) -> BTreeSet<String> {
        let gone = std::mem::take(&mut self.leaving);
        self.slots.retain(|id, _| !gone.contains(id));
        gone
    }

    fn netdev_add(&mut self, id: &str, descriptors: &str) -> Answer {
        // Taken as they are looked at, as by QEMU.
        let mut names = descriptors.split(':');
        if !names.all(|name| self.descriptors.remove(name)) {
            return Err(("GenericError", "there is no such descriptor"));
        }
        match self.netdevs.insert(id.to_owned()) {
            true => Ok(json!({})),
            false => Err(("GenericError", "the name is taken")),
        }
    }

    fn device_add(&mut self, id: &str, netdev: &str, slot: &str) -> Answer {
        let slot = number(slot);
        let taken = self.slots.contains_key(id) || self.slots.values().any(|one| *one == slot);
        if taken || !self.netdevs.contains(netdev) {
            return Err(("GenericError", "the device cannot be there"));
        }
        self.slots.insert(id.to_owned(), slot);
        Ok(json!({}))
    }

    fn list(&self) -> Value {
        let device = |id: &String| json!({"name": id, "type": format!("child<{DRIVER}>")});
        let bridge = json!({"name": "hot", "type": "child<pcie-pci-bridge>"});
        self.slots.keys().map(device).chain([bridge]).collect()
    }

    /// In the form in which QEMU tells people.
    fn info(&self) -> String {
        let names = self.slots.keys().chain(&self.netdevs);
        names.map(|name| format!("{name}: index=0\r\n")).collect()
    }
}

fn number(text: &str) -> u64 {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

fn found(found: bool, class: &'static str) -> Answer {
    match found {
        true => Ok(json!({})),
        false => Err((class, "there is none of this name")),
    }
}
