//! Lines out of a byte stream, however it is cut.

/// The longest line that is accepted. The longest that a good QEMU sends is its schema, a quarter
/// of this; the bound is there because a guest may have taken over its QEMU.
pub(super) const MAX_LINE: usize = 1024 * 1024;

/// A line was longer than [`MAX_LINE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Collects bytes and gives whole lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Up to here there is no line end.
    searched: usize,
}

impl Lines {
    /// Adds bytes as they came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line without its end; `None` when more bytes are needed. Empty lines are
    /// skipped.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let found = self.bytes[self.searched..].iter().position(|&b| b == b'\n');
            let Some(offset) = found else {
                self.searched = self.bytes.len();
                return match self.searched > MAX_LINE {
                    true => Err(TooLong),
                    false => Ok(None),
                };
            };
            let end = self.searched + offset;
            let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
            self.searched = 0;
            line.truncate(line.trim_ascii_end().len());
            if line.len() > MAX_LINE {
                return Err(TooLong);
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next().expect("lines are short") {
                found.push(line);
            }
        }
        found
    }

    #[test]
    fn every_pair_of_split_points_gives_the_same_lines() {
        let stream = b"{\"QMP\":{}}\r\n{\"return\":{}}\n\n\r\n{\"event\":\"STOP\"}\r\nrest";
        let expected = all_lines(&[stream]);
        assert_eq!(expected.len(), 3);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let (head, rest) = stream.split_at(first);
                let (middle, tail) = rest.split_at(second - first);
                assert_eq!(
                    all_lines(&[head, middle, tail]),
                    expected,
                    "{first} {second}"
                );
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(all_lines(&bytes), expected);
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_memory() {
        let mut lines = Lines::default();
        let chunk = [b'x'; 64 * 1024];
        let refused = (0..100).find(|_| {
            lines.push(&chunk);
            lines.next() == Err(TooLong)
        });
        assert_eq!(refused, Some(MAX_LINE / chunk.len()));
    }
}
