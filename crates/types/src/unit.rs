//! Units that people write by hand: memory sizes and CPU counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// An amount of memory in MiB. In text a bare number is MiB; the suffixes K, M and G (powers of
/// 1024, also as `MiB` or `MB`, any case) are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mebibytes(pub u64);

impl Mebibytes {
    /// The size of a virtual machine when nothing is asked for.
    pub const DEFAULT: Self = Self(256);
    /// The smallest virtual machine in which the guest and its agent start.
    pub const MINIMUM: Self = Self(128);

    /// The amount in bytes, saturating.
    pub const fn bytes(self) -> u64 {
        self.0.saturating_mul(1024 * 1024)
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.0)
    }
}

impl FromStr for Mebibytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::invalid("memory size", text, reason);
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let number: u64 = number
            .parse()
            .map_err(|_| refuse("write a number, optionally with K, M or G, for example 512M"))?;
        let suffix = suffix.trim().to_ascii_uppercase();
        let amount = match suffix.trim_end_matches('B').trim_end_matches('I') {
            "" | "M" => Some(number),
            "K" => Some(number.div_ceil(1024)),
            "G" => number.checked_mul(1024),
            _ => return Err(refuse("the unit is not K, M or G")),
        };
        amount.map(Self).ok_or_else(|| refuse("it is too large"))
    }
}

/// A number of whole virtual CPUs, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct VcpuCount(u32);

impl VcpuCount {
    /// One virtual CPU, the default.
    pub const ONE: Self = Self(1);

    /// Fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for zero and above 1024.
    pub fn new(count: u32) -> Result<Self, Error> {
        match count {
            1..=1024 => Ok(Self(count)),
            _ => Err(Error::invalid(
                "CPU count",
                count.to_string(),
                "use 1 to 1024 whole CPUs",
            )),
        }
    }

    /// The count as a plain number.
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VcpuCount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::invalid("CPU count", text, "use 1 to 1024 whole CPUs");
        Self::new(text.parse().map_err(|_| refuse())?)
    }
}

impl TryFrom<u32> for VcpuCount {
    type Error = Error;

    fn try_from(count: u32) -> Result<Self, Error> {
        Self::new(count)
    }
}

impl From<VcpuCount> for u32 {
    fn from(count: VcpuCount) -> Self {
        count.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_as_people_write_them() {
        let rows = [
            ("256", 256),
            ("512M", 512),
            ("512m", 512),
            ("2G", 2048),
            ("2GiB", 2048),
            ("1GB", 1024),
            ("131072K", 128),
            ("1K", 1),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse(), Ok(Mebibytes(expected)), "{text}");
        }
        for text in [
            "",
            "M",
            "-1",
            "1T",
            "1.5G",
            "99999999999999999999",
            "18446744073709551615G",
        ] {
            assert!(text.parse::<Mebibytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn cpu_counts_are_whole_and_positive() {
        assert_eq!("4".parse(), Ok(VcpuCount(4)));
        for text in ["0", "-1", "1.5", "", "1025", "many"] {
            assert!(text.parse::<VcpuCount>().is_err(), "{text}");
        }
    }
}
