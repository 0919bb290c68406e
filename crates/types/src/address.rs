//! Addresses of a network: hardware addresses, and internet addresses with their prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::stored_as_text;

/// The address of an Ethernet interface, in text `02:00:5e:10:00:01`; upper case is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, last] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{last:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            let reason = "write six pairs of hexadecimal digits, for example 02:00:5e:10:00:01";
            Error::invalid("hardware address", text, reason)
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(refuse)?;
            // `from_str_radix` would take a sign.
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(refuse());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(refuse()),
        }
    }
}

stored_as_text!(MacAddress);

/// The family of an internet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl From<IpAddr> for IpFamily {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// An internet address and the length of its network's prefix, in text `192.0.2.7/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpAddress {
    address: IpAddr,
    prefix: u8,
}

impl IpAddress {
    /// Errors: `Invalid` for a prefix longer than the address: 32 bits for IPv4, 128 for IPv6.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, Error> {
        let longest = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix > longest {
            let reason = format!("the prefix has at most {longest} bits");
            return Err(Error::invalid(
                "IP address",
                format!("{address}/{prefix}"),
                reason,
            ));
        }
        Ok(Self { address, prefix })
    }

    /// The address alone.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix, in bits.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The family of the address.
    pub fn family(&self) -> IpFamily {
        self.address.into()
    }
}

impl fmt::Display for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for IpAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::invalid("IP address", text, reason);
        let (address, prefix) = text
            .split_once('/')
            .ok_or_else(|| refuse("the prefix is missing, write for example 192.0.2.7/24"))?;
        let address = address
            .parse()
            .map_err(|_| refuse("the part before the slash is no address"))?;
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| digits);
        Self::new(
            address,
            prefix.ok_or_else(|| refuse("the prefix is no number of bits"))?,
        )
    }
}

stored_as_text!(IpAddress);
