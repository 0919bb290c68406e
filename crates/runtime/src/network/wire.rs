//! Interfaces and routes between our words and the protocol's. What a guest says is not trusted.

use std::net::IpAddr;

use virtcontainers_agent_proto::types as wire;
use virtcontainers_types::{Interface, IpAddress, IpFamily, Neighbor, Route};

use crate::error::{Error, ErrorKind};

/// More of anything than this is no network but an attack.
const MOST: usize = 4096;

/// Interfaces as a guest lists them.
pub(crate) fn interfaces(listed: Vec<wire::Interface>) -> Result<Vec<Interface>, Error> {
    bounded(&listed)?;
    listed.into_iter().map(interface).collect()
}

/// Routes as a guest lists them.
pub(crate) fn routes(listed: Vec<wire::Route>) -> Result<Vec<Route>, Error> {
    bounded(&listed)?;
    listed.into_iter().map(route).collect()
}

/// Routes for a guest.
pub(crate) fn to_guest(routes: Vec<Route>) -> Vec<wire::Route> {
    let text = |address: Option<IpAddr>| address.map(|one| one.to_string()).unwrap_or_default();
    routes
        .into_iter()
        .map(|route| wire::Route {
            dest: route
                .destination
                .map(|destination| destination.to_string())
                .unwrap_or_default(),
            gateway: text(route.gateway),
            device: route.device,
            source: text(route.source),
            scope: u32::from(route.scope),
            family: family_to(route.family).into(),
            flags: route.flags,
            mtu: route.mtu,
            ..wire::Route::default()
        })
        .collect()
}

/// An interface for a guest, which finds it by its hardware address.
pub(crate) fn interface_to_guest(interface: Interface) -> wire::Interface {
    let addresses = interface.addresses.iter().map(|address| wire::IPAddress {
        family: family_to(address.family()).into(),
        address: address.address().to_string(),
        mask: address.prefix().to_string(),
        ..wire::IPAddress::default()
    });
    wire::Interface {
        device: interface.device,
        name: interface.name,
        IPAddresses: addresses.collect(),
        mtu: u64::from(interface.mtu),
        hwAddr: interface.hardware_address.to_string(),
        devicePath: interface
            .pci_path
            .map(|path| path.to_string())
            .unwrap_or_default(),
        type_: interface.link_type,
        raw_flags: interface.raw_flags,
        ..wire::Interface::default()
    }
}

/// Static neighbours for a guest.
pub(crate) fn neighbors_to_guest(neighbors: Vec<Neighbor>) -> Vec<wire::ARPNeighbor> {
    let neighbor = |neighbor: Neighbor| wire::ARPNeighbor {
        toIPAddress: Some(wire::IPAddress {
            family: family_to(neighbor.address.into()).into(),
            address: neighbor.address.to_string(),
            ..wire::IPAddress::default()
        })
        .into(),
        device: neighbor.device,
        lladdr: neighbor
            .hardware_address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        state: i32::from(neighbor.state),
        flags: i32::from(neighbor.flags),
        ..wire::ARPNeighbor::default()
    };
    neighbors.into_iter().map(neighbor).collect()
}

fn interface(listed: wire::Interface) -> Result<Interface, Error> {
    bounded(&listed.IPAddresses)?;
    let hardware_address = match listed.hwAddr.as_str() {
        // A loopback has none, or one of zeros.
        "" => "00:00:00:00:00:00".parse(),
        text => text.parse(),
    };
    Ok(Interface {
        device: listed.device,
        addresses: listed
            .IPAddresses
            .into_iter()
            .map(|address| parse(&format!("{}/{}", address.address, address.mask)))
            .collect::<Result<_, Error>>()?,
        mtu: u32::try_from(listed.mtu).unwrap_or(u32::MAX),
        raw_flags: listed.raw_flags,
        hardware_address: hardware_address
            .map_err(|error| nonsense(&format!("interface {:?}", listed.name)).because(error))?,
        name: listed.name,
        pci_path: None,
        link_type: listed.type_,
    })
}

fn route(listed: wire::Route) -> Result<Route, Error> {
    let address = |text: &str| {
        (!text.is_empty())
            .then(|| text.parse::<IpAddr>().map_err(|_| nonsense(text)))
            .transpose()
    };
    let whole = ["", "0.0.0.0/0", "::/0"].contains(&listed.dest.as_str());
    Ok(Route {
        family: family_of(&listed),
        destination: (!whole).then(|| parse(&listed.dest)).transpose()?,
        gateway: address(&listed.gateway)?,
        device: listed.device,
        source: address(&listed.source)?,
        scope: u8::try_from(listed.scope).map_err(|_| nonsense("a scope"))?,
        flags: listed.flags,
        mtu: listed.mtu,
    })
}

fn family_of(listed: &wire::Route) -> IpFamily {
    match listed.family.enum_value() {
        Ok(wire::IPFamily::v6) => IpFamily::V6,
        Ok(wire::IPFamily::v4) | Err(_) => IpFamily::V4,
    }
}

fn family_to(family: IpFamily) -> wire::IPFamily {
    match family {
        IpFamily::V4 => wire::IPFamily::v4,
        IpFamily::V6 => wire::IPFamily::v6,
    }
}

fn parse(text: &str) -> Result<IpAddress, Error> {
    // A single host may be written without its prefix.
    let whole = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => format!("{text}/32"),
        Ok(IpAddr::V6(_)) => format!("{text}/128"),
        Err(_) => text.to_owned(),
    };
    whole.parse().map_err(|error| nonsense(text).because(error))
}

fn bounded<T>(listed: &[T]) -> Result<(), Error> {
    match listed.len() {
        0..=MOST => Ok(()),
        count => Err(nonsense(&format!("a list of {count}"))),
    }
}

fn nonsense(what: &str) -> Error {
    let message = format!("the guest told of a network that cannot be: {what}");
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_lists_is_understood() {
        let listed = wire::Interface {
            name: "eth0".to_owned(),
            hwAddr: "02:00:5e:10:00:01".to_owned(),
            mtu: 1500,
            IPAddresses: vec![wire::IPAddress {
                address: "192.0.2.7".to_owned(),
                mask: "24".to_owned(),
                ..wire::IPAddress::default()
            }],
            ..wire::Interface::default()
        };
        let interfaces = interfaces(vec![listed]).unwrap();
        assert_eq!(interfaces[0].addresses[0].to_string(), "192.0.2.7/24");
        assert_eq!(interfaces[0].mtu, 1500);
    }

    #[test]
    fn routes_come_back_as_they_went() {
        let route = Route {
            family: IpFamily::V6,
            destination: Some("2001:db8::/64".parse().unwrap()),
            gateway: Some("2001:db8::1".parse().unwrap()),
            device: "eth0".to_owned(),
            source: None,
            scope: 253,
            flags: 4,
            mtu: 1400,
        };
        let default = Route {
            destination: None,
            ..route.clone()
        };
        let both = vec![route, default];
        assert_eq!(routes(to_guest(both.clone())).unwrap(), both);
    }

    #[test]
    fn nonsense_is_refused() {
        for dest in ["everywhere", "192.0.2.0/77"] {
            let listed = wire::Route {
                dest: dest.to_owned(),
                ..wire::Route::default()
            };
            let error = routes(vec![listed]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{dest}");
        }
        let many = vec![wire::Route::default(); MOST + 1];
        assert_eq!(routes(many).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
