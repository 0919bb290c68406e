//! What the tests share: numbers from a printed seed, and golden files.

#![allow(dead_code, reason = "each test program uses a part")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

/// Numbers that follow from a seed (SplitMix64), so that a failure can be repeated.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// From `VC_SEED`, or a seed that nobody can foresee. It is printed, which the test runner shows
    /// when the test fails.
    pub(crate) fn new() -> Self {
        let given = std::env::var("VC_SEED").ok();
        let seed = given.map_or_else(
            || RandomState::new().build_hasher().finish(),
            |text| text.parse().expect("VC_SEED is a number"),
        );
        println!("VC_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// At least `least` and less than `end` letters of `alphabet`.
    pub(crate) fn word(&mut self, alphabet: &[char], least: usize, end: usize) -> String {
        let length = least + self.below(end - least);
        (0..length).map(|_| self.pick(alphabet)).collect()
    }
}

/// Compares with `tests/golden/NAME`. To accept a change, run the tests once with
/// `VC_UPDATE_GOLDEN=1` and read the difference.
#[track_caller]
pub(crate) fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&file).expect("the golden file is there");
    assert!(text == expected, "{name} differs; it would now be:\n{text}");
}
