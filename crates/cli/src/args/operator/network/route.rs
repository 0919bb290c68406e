//! Routes as ip-route(8) has them: `default via 10.0.0.1 dev eth0`.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use virtcontainers::types::{IpAddress, IpFamily, Route};

/// `RT_SCOPE_LINK` of rtnetlink(7): what is on the link itself.
const ON_THE_LINK: u8 = 253;
/// `RTNH_F_ONLINK` of rtnetlink(7): the gateway is on the link, whatever the addresses say.
const GATEWAY_ON_LINK: u32 = 4;
const WORDS: &str = "via ADDRESS, dev NAME, src ADDRESS, mtu BYTES and onlink";

/// What may stand after the destination.
#[derive(Default)]
struct Words<'a> {
    via: Option<&'a str>,
    dev: Option<&'a str>,
    src: Option<&'a str>,
    mtu: Option<&'a str>,
    onlink: bool,
}

/// The route that the words of a command line mean; they may also be one word with spaces.
pub(crate) fn parse(text: &[String]) -> Result<Route> {
    let mut words = text.iter().flat_map(|word| word.split_whitespace());
    let Some(destination) = words.next() else {
        bail!("a route begins with its destination: default, or a network such as 10.1.0.0/16");
    };
    let network = match destination {
        "default" => None,
        text => Some(network(text)?),
    };
    let words = Words::of(words)?;
    let gateway = words.via.map(|text| address("via", text)).transpose()?;
    let source = words.src.map(|text| address("src", text)).transpose()?;
    let named = gateway.or(source).map(IpFamily::from);
    let family = match &network {
        Some(network) => network.family(),
        None => named.unwrap_or(IpFamily::V4),
    };
    for (word, address) in [("via", gateway), ("src", source)] {
        if let Some(address) = address.filter(|address| IpFamily::from(*address) != family) {
            bail!(
                "the route to {destination} cannot have {word} {address}: IPv4 and IPv6 do not mix"
            );
        }
    }
    ensure!(
        gateway.is_some() || !words.onlink,
        "onlink is about a gateway: add via ADDRESS, or leave it out"
    );
    let Some(device) = words.dev else {
        bail!("the route names no interface of the guest: add dev NAME, for example dev eth0");
    };
    let mtu = words.mtu.map(|text| {
        let mtu = text.parse().ok().filter(|mtu: &u32| *mtu > 0);
        mtu.with_context(|| format!("mtu {text:?} is no size of packets: write a number of bytes"))
    });
    let is_local = gateway.is_none() && family == IpFamily::V4;
    Ok(Route {
        family,
        // As the guest tells it: a network of all is the default.
        destination: network.filter(|network| network.prefix() > 0),
        gateway,
        device: device.to_owned(),
        source,
        scope: if is_local { ON_THE_LINK } else { 0 },
        flags: if words.onlink { GATEWAY_ON_LINK } else { 0 },
        mtu: mtu.transpose()?.unwrap_or(0),
    })
}

impl<'a> Words<'a> {
    fn of(mut text: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut words = Self::default();
        while let Some(word) = text.next() {
            if word == "onlink" {
                words.onlink = true;
                continue;
            }
            let place = match word {
                "via" => &mut words.via,
                "dev" => &mut words.dev,
                "src" => &mut words.src,
                "mtu" => &mut words.mtu,
                _ => {
                    bail!("{word:?} is no part of a route here: after the destination come {WORDS}")
                }
            };
            let value = text
                .next()
                .with_context(|| format!("{word} has nothing after it"))?;
            if let Some(former) = place.replace(value) {
                bail!("{word} is there twice, with {former} and {value}: keep one");
            }
        }
        Ok(words)
    }
}

fn address(word: &str, text: &str) -> Result<IpAddr> {
    let parsed = text.parse();
    parsed.with_context(|| {
        format!("{word} {text:?} is no address: write for example {word} 10.0.0.1")
    })
}

/// A network, or one address.
fn network(text: &str) -> Result<IpAddress> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpAddress::new(address, if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => text.parse(),
    };
    let network = network.with_context(|| {
        format!("{text:?} is no destination: write default, or a network such as 10.1.0.0/16")
    })?;
    let first = first_of(&network);
    ensure!(
        first == network.address(),
        "{text} has bits beyond its prefix: did you mean {first}/{}?",
        network.prefix()
    );
    Ok(network)
}

/// The address of a network whose bits beyond the prefix are zero.
fn first_of(network: &IpAddress) -> IpAddr {
    let prefix = u32::from(network.prefix());
    match network.address() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Result<Route> {
        parse(&[text.to_owned()])
    }

    #[test]
    fn routes_as_people_write_them() {
        let plain = Route {
            family: IpFamily::V4,
            destination: None,
            gateway: None,
            device: "eth0".to_owned(),
            source: None,
            scope: 0,
            flags: 0,
            mtu: 0,
        };
        let gateway = |text: &str| Some(text.parse().unwrap());
        let to = |text: &str| Some(text.parse().unwrap());
        let rows = [
            (
                "default via 10.0.0.1 dev eth0",
                Route {
                    gateway: gateway("10.0.0.1"),
                    ..plain.clone()
                },
            ),
            (
                "0.0.0.0/0 dev eth0",
                Route {
                    scope: ON_THE_LINK,
                    ..plain.clone()
                },
            ),
            (
                "default dev eth0 via fe80::1 onlink",
                Route {
                    family: IpFamily::V6,
                    gateway: gateway("fe80::1"),
                    flags: GATEWAY_ON_LINK,
                    ..plain.clone()
                },
            ),
            (
                "10.1.0.0/16 dev eth0 src 10.1.0.7 mtu 1400",
                Route {
                    destination: to("10.1.0.0/16"),
                    source: gateway("10.1.0.7"),
                    scope: ON_THE_LINK,
                    mtu: 1400,
                    ..plain.clone()
                },
            ),
            (
                "10.1.0.7 via 10.0.0.1 dev eth0",
                Route {
                    destination: to("10.1.0.7/32"),
                    gateway: gateway("10.0.0.1"),
                    ..plain.clone()
                },
            ),
            (
                "fd00::/8 dev eth0",
                Route {
                    family: IpFamily::V6,
                    destination: to("fd00::/8"),
                    ..plain.clone()
                },
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(route(text).unwrap(), expected, "{text}");
        }
        let words = ["default", "via", "10.0.0.1", "dev", "eth0"].map(str::to_owned);
        assert_eq!(
            parse(&words).unwrap(),
            route("default via 10.0.0.1 dev eth0").unwrap()
        );
    }

    #[test]
    fn what_is_no_route_is_told() {
        for (text, part) in [
            (" ", "begins with its destination"),
            ("via 10.0.0.1", "no destination"),
            ("10.1.0.0/33 dev eth0", "no destination"),
            ("10.1.2.3/16 dev eth0", "did you mean 10.1.0.0/16?"),
            ("fd00::1/8 dev eth0", "did you mean fd00::/8?"),
            ("default via 10.0.0.1", "add dev NAME"),
            (
                "default via gateway dev eth0",
                "via \"gateway\" is no address",
            ),
            ("default via", "via has nothing after it"),
            (
                "default via 10.0.0.1 dev eth0 dev eth1",
                "dev is there twice",
            ),
            (
                "default via 10.0.0.1 dev eth0 metric 5",
                "\"metric\" is no part",
            ),
            ("10.0.0.0/8 via fe80::1 dev eth0", "do not mix"),
            ("default via 10.0.0.1 src fd00::1 dev eth0", "do not mix"),
            ("default dev eth0 onlink", "about a gateway"),
            ("default dev eth0 mtu 0", "mtu \"0\""),
        ] {
            let error = format!("{:#}", route(text).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
