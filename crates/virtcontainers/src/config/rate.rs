//! Rates as people write them: bytes a second, with the suffixes that sizes of memory have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use virtcontainers_types::RateLimit;

/// Suffixes and how many bytes each stands for, the largest first.
const UNITS: [(&str, u64); 3] = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];

/// Bytes a second; zero is no limit. In text a number, with the suffix K, M or G for powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteRate(pub u64);

impl ByteRate {
    fn limit(self) -> Option<u64> {
        Some(self.0).filter(|rate| *rate > 0)
    }
}

impl fmt::Display for ByteRate {
    /// With the largest suffix that tells it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, unit): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*unit);
        match UNITS.iter().find(exact) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |reason: &str| format!("rate {text:?} cannot be understood: {reason}");
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| {
            refuse("write bytes a second, optionally with K, M or G, for example \"10M\"")
        })?;
        let suffix = suffix.to_ascii_uppercase();
        let unit = match suffix.trim_end_matches('B').trim_end_matches('I') {
            "" => 1,
            suffix => UNITS
                .iter()
                .find(|(known, _)| *known == suffix)
                .map(|(_, unit)| *unit)
                .ok_or_else(|| refuse("the unit is not K, M or G"))?,
        };
        let rate = number.checked_mul(unit);
        rate.map(Self).ok_or_else(|| refuse("it is too large"))
    }
}

/// The rates of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateSection {
    /// To the guest.
    #[serde(with = "super::as_text")]
    pub inbound: ByteRate,
    /// From the guest.
    #[serde(with = "super::as_text")]
    pub outbound: ByteRate,
}

impl From<RateSection> for RateLimit {
    fn from(section: RateSection) -> Self {
        Self {
            inbound: section.inbound.limit(),
            outbound: section.outbound.limit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("1500", 1500, "1500"),
            ("1024", 1024, "1K"),
            ("10M", 10 << 20, "10M"),
            ("10m", 10 << 20, "10M"),
            ("10MiB", 10 << 20, "10M"),
            ("3G", 3 << 30, "3G"),
        ] {
            let rate: ByteRate = text.parse().unwrap();
            assert_eq!(
                (rate.0, rate.to_string().as_str()),
                (bytes, shown),
                "{text}"
            );
        }
        for text in [
            "",
            "M",
            "-1",
            "1.5M",
            "10T",
            "10 M",
            "10Mbit",
            "99999999999G",
        ] {
            assert!(text.parse::<ByteRate>().is_err(), "{text}");
        }
    }
}
