//! `[network]`: how a sandbox is connected to its namespace.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::{NetworkConfig, NetworkModel, RateLimit};

use super::rate::RateSection;
use crate::Error;

/// What a tap can have (`MAX_TAP_QUEUES` of Linux).
const MOST_QUEUES: u16 = 256;
/// The longest name of an interface (`IFNAMSIZ` of Linux, less the zero byte at its end).
const LONGEST_NAME: usize = 15;

/// `[network]`: how a sandbox is connected to its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSection {
    /// How frames get from the namespace's interfaces to the machine.
    pub model: NetworkModel,
    /// A sandbox that is given a namespace must find an interface in it when it starts.
    pub required: bool,
    /// Interfaces that appear in a namespace later are connected, and those that vanish are taken
    /// from the machine, for as long as it runs.
    pub follow: bool,
    /// Use the kernel's vhost-net for the data path where the host has it.
    pub vhost: bool,
    /// Queues of each interface; one for each CPU when zero.
    pub queues: u16,
    /// No namespace is made for a sandbox that is given none: its machine stays in the namespace of
    /// whoever starts it, and has no network. Needs the model `none`.
    pub disable_new_netns: bool,
    /// The rate of every interface that `rates` does not name.
    pub rate: RateSection,
    /// The rates of single interfaces, by name; each takes the place of `rate` as a whole.
    pub rates: BTreeMap<String, RateSection>,
    /// Sockets of user-space switches (vhost-user), absolute, by the name of the interface that
    /// carries the addresses of each.
    pub vhost_user: BTreeMap<String, PathBuf>,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            model: NetworkModel::default(),
            required: false,
            follow: false,
            vhost: true,
            queues: 0,
            disable_new_netns: false,
            rate: RateSection::default(),
            rates: BTreeMap::new(),
            vhost_user: BTreeMap::new(),
        }
    }
}

impl NetworkSection {
    /// The network of a sandbox that is given no namespace, as this section has it. Nothing is
    /// promised to it: `required` is about a namespace that is given.
    pub fn settings(&self) -> NetworkConfig {
        let rates = self.rates.iter();
        NetworkConfig {
            disabled: self.disable_new_netns,
            model: self.model,
            follow: self.follow,
            queues: NonZeroU16::new(self.queues),
            vhost: self.vhost,
            rate: self.rate.into(),
            rates: rates
                .map(|(name, rate)| (name.clone(), RateLimit::from(*rate)))
                .collect(),
            vhost_user: self.vhost_user.clone(),
            ..NetworkConfig::default()
        }
    }

    /// Errors: `Invalid` for settings that contradict each other, and values that no interface can
    /// have.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_none = self.model == NetworkModel::None;
        if self.disable_new_netns && !is_none {
            return refuse(
                "network.disable_new_netns leaves a sandbox without a namespace whose interfaces \
                 could be connected: set network.model to \"none\" with it, or leave it out",
            );
        }
        if self.required && is_none {
            return refuse(
                "network.required asks for an interface, and network.model \"none\" connects none: \
                 choose another model, or leave required out",
            );
        }
        if self.queues > MOST_QUEUES {
            let queues = self.queues;
            return refuse(&format!(
                "network.queues is {queues}, and an interface has at most {MOST_QUEUES}: 0 stands \
                 for one for each CPU"
            ));
        }
        for (key, name) in self.names() {
            if !is_interface_name(name) {
                return refuse(&format!(
                    "{key} has {name:?}, which no interface can be called: a name has 1 to \
                     {LONGEST_NAME} characters without spaces and slashes"
                ));
            }
        }
        for (name, socket) in &self.vhost_user {
            if !socket.is_absolute() {
                let socket = socket.display();
                return refuse(&format!(
                    "network.vhost_user.{name} is {socket}, which is not absolute: write the whole \
                     path of the switch's socket"
                ));
            }
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let rates = self.rates.keys().map(|name| ("network.rates", name));
        let sockets = self.vhost_user.keys();
        rates
            .chain(sockets.map(|name| ("network.vhost_user", name)))
            .map(|(key, name)| (key, name.as_str()))
    }
}

/// As the kernel's `dev_valid_name`.
fn is_interface_name(name: &str) -> bool {
    let plain = |c: char| c != '/' && c != ':' && !c.is_whitespace() && !c.is_control();
    (1..=LONGEST_NAME).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.chars().all(plain)
}

fn refuse(message: &str) -> Result<(), Error> {
    Err(Error::new(ErrorKind::Invalid, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rate::ByteRate;

    #[test]
    fn the_section_becomes_the_network_of_a_sandbox() {
        let text = "model = \"bridged\"\nfollow = true\nvhost = false\nqueues = 2\n\
                    rate = {outbound = \"10M\"}\nrates.eth1 = {inbound = 1500}\n\
                    vhost_user.eth1 = \"/run/s\"";
        let section: NetworkSection = toml::from_str(text).unwrap();
        section.check().unwrap();
        assert_eq!(section.rate.outbound, ByteRate(10 << 20));
        let limit = |inbound, outbound| RateLimit { inbound, outbound };
        let expected = NetworkConfig {
            model: NetworkModel::Bridged,
            follow: true,
            vhost: false,
            queues: NonZeroU16::new(2),
            rate: limit(None, Some(10 << 20)),
            rates: [("eth1".to_owned(), limit(Some(1500), None))].into(),
            vhost_user: [("eth1".to_owned(), "/run/s".into())].into(),
            ..NetworkConfig::default()
        };
        assert_eq!(section.settings(), expected);
        let unset = NetworkSection::default().settings();
        assert_eq!(unset, NetworkConfig::default());
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (text, key) in [
            ("disable_new_netns = true", "network.disable_new_netns"),
            ("required = true\nmodel = \"none\"", "network.required"),
            ("queues = 257", "network.queues"),
            ("rates.sixteen_letters_ = {}", "network.rates"),
            ("rates.\"a b\" = {}", "network.rates"),
            ("vhost_user.\"a/b\" = \"/s\"", "network.vhost_user"),
            ("vhost_user.eth0 = \"run/s\"", "network.vhost_user.eth0"),
        ] {
            let section: NetworkSection = toml::from_str(text).unwrap();
            let error = section.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(key), "{error}");
        }
        let none = "disable_new_netns = true\nmodel = \"none\"";
        let section: NetworkSection = toml::from_str(none).unwrap();
        section.check().unwrap();
        assert!(section.settings().disabled);
    }
}
