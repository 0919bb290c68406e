//! A writer for the archive format of an initial root file system ("newc"). Not packed: unpacking
//! costs more under emulation than reading does. Equal content gives equal bytes.
//!
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;
const END: &str = "TRAILER!!!";

/// An archive being written; every entry belongs to root.
pub(super) struct Archive<W> {
    out: W,
    written: usize,
    entries: u32,
}

/// What an entry's header says beside its name and size.
struct Header {
    mode: u32,
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            entries: 0,
        }
    }

    /// Adds a directory; its parents must have been added before.
    pub(super) fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(
            path,
            &Header {
                mode: DIRECTORY | mode,
                device: (0, 0),
            },
            &[],
        )
    }

    /// Adds a regular file.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(
            path,
            &Header {
                mode: FILE | mode,
                device: (0, 0),
            },
            content,
        )
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(
            path,
            &Header {
                mode: LINK | 0o777,
                device: (0, 0),
            },
            target.as_bytes(),
        )
    }

    /// Adds a character device, given as major and minor number.
    pub(super) fn character_device(&mut self, path: &str, device: (u32, u32)) -> io::Result<()> {
        self.entry(
            path,
            &Header {
                mode: CHARACTER | 0o600,
                device,
            },
            &[],
        )
    }

    /// Ends the archive and hands the writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entries = 0;
        self.entry(
            END,
            &Header {
                mode: 0,
                device: (0, 0),
            },
            &[],
        )?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, header: &Header, content: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::other(format!("{path} is too long for the archive"));
        let size = u32::try_from(content.len()).map_err(too_long)?;
        let name_size = u32::try_from(path.len() + 1).map_err(too_long)?;
        let inode = if path == END { 0 } else { self.entries + 1 };
        let (major, minor) = header.device;
        let fields = [
            inode,
            header.mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ];
        let mut text = String::from("070701");
        for field in fields {
            text.push_str(&format!("{field:08x}"));
        }
        text.push_str(path);
        text.push('\0');
        self.padded(text.as_bytes())?;
        self.padded(content)?;
        self.entries = inode;
        Ok(())
    }

    /// Writes bytes, then zeros up to the next multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len();
        let zeros = self.written.next_multiple_of(4) - self.written;
        self.out.write_all(&[0; 4][..zeros])?;
        self.written += zeros;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.directory("etc", 0o755).expect("added");
        archive.file("init", 0o755, b"hello").expect("added");
        archive.link("run2", "/run").expect("added");
        archive.character_device("console", (5, 1)).expect("added");
        archive.finish().expect("finished")
    }

    #[test]
    fn every_header_and_content_is_aligned_to_four_bytes() {
        let bytes = sample();
        assert_eq!(bytes.len() % 4, 0);
        let headers: Vec<usize> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, w)| w == b"070701")
            .map(|(at, _)| at)
            .collect();
        assert_eq!(headers.len(), 5);
        assert!(headers.iter().all(|at| at % 4 == 0), "{headers:?}");
    }

    #[test]
    fn a_header_has_the_fields_of_the_format_in_order() {
        let mut archive = Archive::new(Vec::new());
        archive.character_device("console", (5, 1)).expect("added");
        let text = String::from_utf8(archive.finish().expect("finished")).expect("plain text");
        let fields: Vec<u32> = (0..13)
            .map(|n| u32::from_str_radix(&text[6 + n * 8..14 + n * 8], 16).expect("hexadecimal"))
            .collect();
        assert_eq!(fields, [1, 0o020_600, 0, 0, 1, 0, 0, 0, 0, 5, 1, 8, 0]);
        assert_eq!(&text[110..118], "console\0");
    }

    #[test]
    fn equal_content_gives_equal_bytes() {
        assert_eq!(sample(), sample());
    }
}
