//! Where the guest resolves names: as the first container does, by the resolver file (resolv.conf(5))
//! that its bundle binds.

use std::io::ErrorKind as IoKind;

use oci_spec::runtime::Spec;
use virtcontainers_runtime::ErrorKind;

use super::bound;
use crate::Error;

/// The lines of the file that is bound on `/etc/resolv.conf`, without comments and blank ones; none
/// when nothing is bound there.
///
/// Errors: `NotFound`, `Denied`, `Invalid`, `Internal` for a file that cannot be read, or is none that
/// a resolver could use, naming it.
pub(super) fn lines(spec: &Spec) -> Result<Vec<String>, Error> {
    let Some(file) = bound::source(spec, "/etc/resolv.conf") else {
        return Ok(Vec::new());
    };
    let shown = file.display();
    let content = bound::read(&file).map_err(|error| {
        let kind = match error.kind() {
            IoKind::NotFound | IoKind::NotADirectory => ErrorKind::NotFound,
            IoKind::PermissionDenied => ErrorKind::Denied,
            IoKind::InvalidInput => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        };
        let message = format!(
            "the bundle binds {shown} on /etc/resolv.conf, which cannot be used: correct the source \
             of that mount"
        );
        Error::new(kind, message).because(error)
    })?;
    meant(&content).map_err(|line| {
        let message = format!(
            "{shown}, which the bundle binds on /etc/resolv.conf, cannot be understood at line \
             {line}: it is not text"
        );
        Error::new(ErrorKind::Invalid, message)
    })
}

/// The lines that say something, or the number of the first that is not text.
fn meant(content: &[u8]) -> Result<Vec<String>, usize> {
    let mut lines = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        // In comments people write whatever encoding they like.
        if matches!(line, [] | [b'#' | b';', ..]) {
            continue;
        }
        let text = std::str::from_utf8(line).ok();
        let plain = text.filter(|text| !text.contains(|c: char| c.is_control() && c != '\t'));
        lines.push(plain.ok_or(index + 1)?.to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_say_something() {
        let content = b"# by hand\n\nnameserver 10.0.0.1\r\n ; \xe4\n\tsearch a b\noptions ndots:5";
        let expected = ["nameserver 10.0.0.1", "search a b", "options ndots:5"];
        assert_eq!(meant(content).unwrap(), expected);
        assert!(meant(b"").unwrap().is_empty());
        assert_eq!(meant(b"\nnameserver \xff"), Err(2));
        assert_eq!(meant(b"nameserver\0 1.1.1.1"), Err(1));
    }
}
