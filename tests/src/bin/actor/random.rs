//! Numbers that look random and are the same for the same seed.

/// A generator (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of several, each as often as its weight says.
    pub(crate) fn pick<T: Copy>(&mut self, weighted: &[(u64, T)]) -> Option<T> {
        let sum: u64 = weighted.iter().map(|(weight, _)| weight).sum();
        let mut at = self.next().checked_rem(sum)?;
        for (weight, one) in weighted {
            match at.checked_sub(*weight) {
                Some(left) => at = left,
                None => return Some(*one),
            }
        }
        None
    }
}
