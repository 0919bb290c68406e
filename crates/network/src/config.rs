//! What a caller decides about the connection of a machine to its namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{
    Capabilities, IpAddress, NetworkConfig, NetworkModel as Model, RateLimit, VcpuCount,
};

use crate::View;

/// More queues than the kernel gives to one tap (`MAX_TAP_QUEUES`).
const MOST_QUEUES: u16 = 256;

/// How a machine is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How frames get to the machine.
    pub model: Model,
    /// Queues of each interface: as many as the machine has CPUs, or one.
    pub queues: NonZeroU16,
    /// Use the kernel's vhost-net for the data path where the host has it.
    pub vhost: bool,
    /// How many interfaces the machine has room for.
    pub max_interfaces: usize,
    /// Connect these interfaces alone, by name: for one that is added to a running machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<String>>,
    /// The interfaces that the machine has already, by name. They are not planned again, count for
    /// room and for what two interfaces may not share, and keep the routes that are as good as those
    /// through a new one.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub connected: BTreeSet<String>,
    /// What the guest has in place of what an interface has, by the interface's name; of those that
    /// are connected already, too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Override>,
    /// The rate of every interface that `limits` does not name.
    pub limit: RateLimit,
    /// The rates of single interfaces, by name.
    pub limits: BTreeMap<String, RateLimit>,
    /// Sockets of user-space switches (vhost-user), by the name of the interface that carries the
    /// addresses of each.
    pub vhost_user: BTreeMap<String, PathBuf>,
}

/// What the guest has in place of what an interface has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Override {
    /// Its name in the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its addresses; those of the interface when empty. An interface that has none is connected
    /// when it is given some here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddress>,
    /// Its largest packet, in bytes; at most the interface's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: Model::default(),
            queues: NonZeroU16::MIN,
            vhost: true,
            max_interfaces: 16,
            only: None,
            connected: BTreeSet::new(),
            overrides: BTreeMap::new(),
            limit: RateLimit::default(),
            limits: BTreeMap::new(),
            vhost_user: BTreeMap::new(),
        }
    }
}

impl Config {
    /// What a sandbox's settings mean for what was seen, for a machine of so many CPUs that is made with
    /// these capabilities. Pure.
    ///
    /// Settings for interfaces that are not there are left out: they are for many sandboxes, of which
    /// not each has every interface.
    pub fn of(
        settings: &NetworkConfig,
        view: &View,
        vcpus: VcpuCount,
        capabilities: &Capabilities,
    ) -> Self {
        Self {
            model: settings.model,
            // A queue for each CPU, so that none waits for another's.
            queues: settings.queues.unwrap_or_else(|| one_for_each(vcpus)),
            vhost: settings.vhost,
            max_interfaces: capabilities.network_devices.into(),
            limit: settings.rate,
            limits: of_links(view, &settings.rates),
            vhost_user: of_links(view, &settings.vhost_user),
            ..Self::default()
        }
    }

    /// The rate of an interface.
    pub fn limit_of(&self, interface: &str) -> RateLimit {
        self.limits.get(interface).copied().unwrap_or(self.limit)
    }

    /// The name that an interface has in the guest.
    pub fn guest_name<'a>(&'a self, interface: &'a str) -> &'a str {
        let given = self
            .overrides
            .get(interface)
            .and_then(|over| over.name.as_deref());
        given.unwrap_or(interface)
    }

    /// The addresses that the guest has in place of an interface's; none when it has the same.
    pub(crate) fn addresses_of(&self, interface: &str) -> &[IpAddress] {
        let over = self.overrides.get(interface);
        over.map_or(&[], |over| &over.addresses)
    }
}

fn of_links<T: Clone>(view: &View, all: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let there = |name: &String| view.links.iter().any(|link| link.name == *name);
    let some = all.iter().filter(|(name, _)| there(name));
    some.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn one_for_each(vcpus: VcpuCount) -> NonZeroU16 {
    let count = u16::try_from(vcpus.count()).unwrap_or(MOST_QUEUES);
    NonZeroU16::new(count.min(MOST_QUEUES)).unwrap_or(NonZeroU16::MIN)
}
