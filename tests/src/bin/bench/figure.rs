//! Measured numbers: medians with their spread, and ratios of alternating pairs.

use std::time::Duration;

use anyhow::Result;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Mebibytes,
    /// 10^6 bytes a second.
    MegabytesPerSecond,
}

impl Unit {
    /// Its sign.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::MegabytesPerSecond => "MB/s",
        }
    }
}

/// What a figure should reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// The ratio is at most this.
    Ratio(f64),
    /// The value is at most this.
    Value(f64),
}

/// Repeated measurements of one thing; there is at least one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Of numbers, in the order of their measurement.
    pub(crate) fn new(numbers: Vec<f64>) -> Result<Self> {
        anyhow::ensure!(!numbers.is_empty(), "nothing was measured");
        Ok(Self(numbers))
    }

    /// Of one number.
    pub(crate) fn one(number: f64) -> Self {
        Self(vec![number])
    }

    /// Of times, in milliseconds.
    pub(crate) fn times(times: &[Duration]) -> Result<Self> {
        Self::new(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// The smallest, the one in the middle, the largest.
    pub(crate) fn spread(&self) -> [f64; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        [sorted[0], median, sorted[sorted.len() - 1]]
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.spread()[1]
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

/// One line of the report.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) ours: Samples,
    /// What it is compared with, measured in turns with ours.
    pub(crate) against: Option<(String, Samples)>,
    pub(crate) target: Option<Target>,
    /// For orientation.
    pub(crate) note: String,
}

impl Row {
    /// A number that stands for itself.
    pub(crate) fn new(what: impl Into<String>, unit: Unit, ours: Samples) -> Self {
        Self {
            what: what.into(),
            unit,
            ours,
            against: None,
            target: None,
            note: String::new(),
        }
    }

    /// Compares it with something that was measured in turns.
    pub(crate) fn against(mut self, what: &str, samples: Samples) -> Self {
        self.against = Some((what.to_owned(), samples));
        self
    }

    /// Gives it a target.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds a remark.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The ratios of the pairs.
    pub(crate) fn ratio(&self) -> Option<Samples> {
        let (_, other) = self.against.as_ref()?;
        Some(self.ours.over(other))
    }

    /// Whether the target is reached, by the median; `None` where there is no target.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.target? {
            Target::Value(most) => Some(self.ours.median() <= most),
            Target::Ratio(most) => Some(self.ratio()?.median() <= most),
        }
    }
}

/// Measures two things in turns, each first every second time.
pub(crate) fn alternate<T>(
    pairs: usize,
    mut ours: impl FnMut() -> Result<T>,
    mut other: impl FnMut() -> Result<T>,
) -> Result<(Vec<T>, Vec<T>)> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        if pair % 2 == 0 {
            a.push(ours()?);
            b.push(other()?);
        } else {
            b.push(other()?);
            a.push(ours()?);
        }
    }
    Ok((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], other: &[f64]) -> Row {
        let samples = |numbers: &[f64]| Samples::new(numbers.to_vec()).unwrap();
        Row::new("x", Unit::Milliseconds, samples(ours)).against("y", samples(other))
    }

    #[test]
    fn the_spread_has_the_median_in_its_middle() {
        assert_eq!(Samples(vec![9.0, 1.0, 2.0]).spread(), [1.0, 2.0, 9.0]);
        assert_eq!(Samples(vec![4.0, 1.0, 2.0, 9.0]).spread(), [1.0, 3.0, 9.0]);
        assert!(Samples::new(Vec::new()).is_err());
    }

    #[test]
    fn a_ratio_is_taken_pair_by_pair() {
        // The machine was slow in the second pair: that must not show.
        let row = row(&[2.0, 20.0, 2.2], &[1.0, 10.0, 1.0]);
        assert_eq!(row.ratio().unwrap().spread(), [2.0, 2.0, 2.2]);
    }

    #[test]
    fn a_target_is_met_by_the_median() {
        let row = row(&[2.0, 9.0, 2.0], &[2.0, 2.0, 2.0]);
        assert_eq!(row.is_met(), None);
        assert_eq!(row.clone().target(Target::Ratio(1.0)).is_met(), Some(true));
        assert_eq!(row.target(Target::Value(1.9)).is_met(), Some(false));
    }

    #[test]
    fn each_is_first_every_second_time() {
        let order = std::cell::RefCell::new(String::new());
        let note = |sign: char| {
            order.borrow_mut().push(sign);
            Ok(())
        };
        alternate(3, || note('a'), || note('b')).unwrap();
        assert_eq!(order.into_inner(), "abbaab");
    }
}
