//! Addresses in the text form of the protocol. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::status::{Failure, Result};

/// An address with a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) address: IpAddr,
    pub(super) length: u8,
}

/// Bits of an address of this family.
pub(super) fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

pub(super) fn ip(text: &str) -> Result<IpAddr> {
    text.trim()
        .parse()
        .map_err(|_| Failure::invalid(format!("{text:?} is not an IP address")))
}

/// An address and the prefix length that the protocol calls a mask.
pub(super) fn with_mask(address: &str, mask: &str) -> Result<Prefix> {
    let address = ip(address)?;
    let length = mask
        .parse()
        .ok()
        .filter(|length| *length <= width(address))
        .ok_or_else(|| Failure::invalid(format!("{mask:?} is not a prefix length")))?;
    Ok(Prefix { address, length })
}

/// An address that an interface can have.
pub(super) fn own(address: &str, mask: &str) -> Result<Prefix> {
    let prefix = with_mask(address, mask)?;
    if prefix.address.is_multicast() || prefix.address.is_unspecified() {
        return Err(Failure::invalid(format!(
            "{} is not the address of an interface",
            prefix.address
        )));
    }
    Ok(prefix)
}

/// `ADDRESS/LENGTH`, or a plain address, which means all of it.
pub(super) fn prefix(text: &str) -> Result<Prefix> {
    match text.split_once('/') {
        Some((address, length)) => with_mask(address, length),
        None => ip(text).map(|address| Prefix {
            address,
            length: width(address),
        }),
    }
}

/// The destination of a route. Empty is everything, of the family that the rest of the route is.
pub(super) fn destination(text: &str, v6: bool) -> Result<Prefix> {
    match text {
        "" | "default" if v6 => Ok(Prefix {
            address: Ipv6Addr::UNSPECIFIED.into(),
            length: 0,
        }),
        "" | "default" => Ok(Prefix {
            address: Ipv4Addr::UNSPECIFIED.into(),
            length: 0,
        }),
        _ => prefix(text),
    }
}

/// Six pairs of hexadecimal digits.
pub(super) fn mac(text: &str) -> Result<[u8; 6]> {
    let wrong = || Failure::invalid(format!("{text:?} is not a MAC address"));
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts
            .next()
            .filter(|part| part.len() == 2)
            .ok_or_else(wrong)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    if parts.next().is_some() {
        Err(wrong())
    } else {
        Ok(bytes)
    }
}

pub(super) fn mac_text(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// A name that Linux gives to a link.
pub(super) fn link_name(name: &str) -> Result<&str> {
    let odd = |letter: char| letter == '/' || letter.is_whitespace() || letter.is_control();
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(odd) {
        return Err(Failure::invalid(format!(
            "{name:?} is not an interface name"
        )));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(prefix: Prefix) -> String {
        format!("{}/{}", prefix.address, prefix.length)
    }

    #[test]
    fn prefixes() {
        assert_eq!(text(with_mask("10.0.0.2", "24").unwrap()), "10.0.0.2/24");
        assert_eq!(text(with_mask("fd00::2", "64").unwrap()), "fd00::2/64");
        assert_eq!(text(prefix("10.0.0.1").unwrap()), "10.0.0.1/32");
        assert_eq!(text(prefix("fd00::/8").unwrap()), "fd00::/8");
        assert_eq!(text(destination("", false).unwrap()), "0.0.0.0/0");
        assert_eq!(text(destination("", true).unwrap()), "::/0");
        for (address, mask) in [
            ("10.0.0.2", "33"),
            ("x", "24"),
            ("", "24"),
            ("10.0.0.2", ""),
        ] {
            assert!(with_mask(address, mask).is_err(), "{address}/{mask}");
        }
        assert!(with_mask("10.0.0.2", "255.255.255.0").is_err());
        assert!(prefix("10.0.0.0/").is_err());
        assert!(own("10.0.0.2", "24").is_ok());
        for nobody in ["0.0.0.0", "224.0.0.1", "::", "ff02::5"] {
            assert!(own(nobody, "8").is_err(), "{nobody}");
        }
    }

    #[test]
    fn macs() {
        assert_eq!(mac("02:00:CA:fe:00:01").unwrap(), [2, 0, 0xca, 0xfe, 0, 1]);
        assert_eq!(mac_text(&[2, 0, 0xca, 0xfe, 0, 1]), "02:00:ca:fe:00:01");
        for bad in [
            "",
            "02:00",
            "02:00:ca:fe:00:01:02",
            "2:0:ca:fe:0:1",
            "zz:00:ca:fe:00:01",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn link_names() {
        assert!(link_name("eth0").is_ok());
        for bad in ["", ".", "..", "a/b", "a b", "sixteen-letters-"] {
            assert!(link_name(bad).is_err(), "{bad}");
        }
    }
}
