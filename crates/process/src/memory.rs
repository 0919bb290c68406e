//! The memory of this process.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::{Error, sys};

const MAPS: &str = "/proc/self/maps";
const PROGRAM: &str = "/proc/self/exe";

/// Where this program's code and constants are in its memory.
#[derive(Debug, Clone)]
pub struct ProgramCode(Vec<(usize, usize)>);

impl ProgramCode {
    /// Looks it up. It stays where it is.
    ///
    /// Errors: `Internal` without `/proc`.
    pub fn locate() -> Result<Self, Error> {
        let failed = |error| Error::system("cannot tell where the program's code is", error);
        let program = fs::metadata(PROGRAM).map_err(failed)?;
        let maps = fs::read_to_string(MAPS).map_err(failed)?;
        Ok(Self(code(&maps, program.ino())))
    }

    /// Gives the memory that holds it back. What of it is used from now on is mapped again from the
    /// file, and nothing else: a process that has much to do now and then and little in between
    /// keeps only the code of the latter meanwhile. Data stays as it is.
    ///
    /// Errors: `Internal`. The program runs on all the same.
    pub fn release(&self) -> Result<(), Error> {
        for (from, length) in &self.0 {
            sys::drop_code(*from, *length).map_err(|error| {
                Error::system("cannot give the memory of the program's code back", error)
            })?;
        }
        Ok(())
    }
}

/// The mappings of a program's code and constants, as address and length (proc(5), `maps`).
fn code(maps: &str, inode: u64) -> Vec<(usize, usize)> {
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, permissions, offset) = (words.next()?, words.next()?, words.next()?);
        let its_inode: u64 = words.nth(1)?.parse().ok()?;
        // The loader has written to the other part that cannot be written to now (relocations).
        let is_constant = permissions == "r--p" && offset == "00000000";
        if its_inode != inode || !(permissions == "r-xp" || is_constant) {
            return None;
        }
        let (from, to) = range.split_once('-')?;
        let from = usize::from_str_radix(from, 16).ok()?;
        let to = usize::from_str_radix(to, 16).ok()?;
        Some((from, to.checked_sub(from)?))
    };
    maps.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
55d0c0000000-55d0c0100000 r--p 00000000 08:01 1234                       /usr/bin/vc
55d0c0100000-55d0c0e00000 r-xp 00100000 08:01 1234                       /usr/bin/vc
55d0c0e00000-55d0c0f00000 r--p 00e00000 08:01 1234                       /usr/bin/vc
55d0c0f00000-55d0c0f10000 rw-p 00f00000 08:01 1234                       /usr/bin/vc
55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000100000 r-xp 00000000 08:01 77                         /usr/lib/libc.so.6
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn only_the_programs_own_code_is_meant() {
        let constants = (0x55d0_c000_0000, 0x0010_0000);
        assert_eq!(
            code(SAMPLE, 1234),
            [constants, (0x55d0_c010_0000, 0x00d0_0000)]
        );
        assert_eq!(code(SAMPLE, 5), []);
    }

    #[test]
    fn the_program_runs_on() {
        let before = std::hint::black_box(vec![1, 2, 3]);
        ProgramCode::locate().unwrap().release().unwrap();
        assert_eq!(before.iter().sum::<i32>(), 6);
    }
}
