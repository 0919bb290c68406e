//! What a link is to us, by what the kernel says of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::view::{Link, TunMode};
use crate::{Config, Error, ErrorKind};

/// What kind of interface an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EndpointKind {
    /// One end of a pair.
    Veth,
    /// A further hardware address of another link.
    MacVlan,
    /// The same, with a device for a machine to open.
    MacVtap,
    /// A further internet address of another link.
    IpVlan,
    /// A tap that somebody else serves.
    Tap,
    /// A device on the PCI bus.
    Physical,
    /// A user-space switch.
    #[serde(rename = "vhost-user")]
    VhostUser,
}

impl EndpointKind {
    /// The kind of a link.
    ///
    /// Errors: `Unsupported`, with the link and its kind.
    pub(crate) fn of(link: &Link, config: &Config) -> Result<Self, Error> {
        if config.vhost_user.contains_key(&link.name) {
            return Ok(Self::VhostUser);
        }
        match (link.kind.as_str(), link.tun, &link.device) {
            ("veth", _, _) => Ok(Self::Veth),
            ("macvlan", _, _) => Ok(Self::MacVlan),
            ("macvtap", _, _) => Ok(Self::MacVtap),
            ("ipvlan", _, _) => Ok(Self::IpVlan),
            ("tun", Some(TunMode::Tap), _) => Ok(Self::Tap),
            ("tun", _, _) => Err(unsupported(link, "tun, which carries no Ethernet frames")),
            ("", _, Some(device)) if device.bus == "pci" => Ok(Self::Physical),
            ("", _, Some(device)) => {
                let what = format!("a device on the {} bus", device.bus);
                Err(unsupported(link, &what))
            }
            ("", _, None) => Err(unsupported(link, "a device that cannot be told")),
            (kind, _, _) => Err(unsupported(link, kind)),
        }
    }

    /// Whether frames can be taken off it and put on it by `macvtap` and bridges: macvlan and
    /// ipvlan are themselves on top of another link, and the kernel does not let them be ports.
    pub(crate) const fn takes_every_model(self) -> bool {
        matches!(self, Self::Veth | Self::Tap)
    }
}

impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Veth => "veth",
            Self::MacVlan => "macvlan",
            Self::MacVtap => "macvtap",
            Self::IpVlan => "ipvlan",
            Self::Tap => "tap",
            Self::Physical => "physical",
            Self::VhostUser => "vhost-user",
        })
    }
}

fn unsupported(link: &Link, what: &str) -> Error {
    let message = format!(
        "cannot connect the interface {}: it is {what}; use veth, macvlan, macvtap, ipvlan or tap, \
         or take its addresses away to have it left alone",
        link.name
    );
    Error::new(ErrorKind::Unsupported, message)
}
