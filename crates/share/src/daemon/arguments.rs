//! The daemon's arguments, in the words that both its versions understand: the one in C, which
//! came with QEMU up to 7.2, and the one in Rust, which takes the old `-o` options too.

use std::os::fd::RawFd;
use std::path::Path;

use crate::{Cache, DaemonConfig, Error, ErrorKind};

/// Arguments for serving `directory` on the listening socket with this number in the child.
pub(super) fn arguments(config: &DaemonConfig, directory: &Path, socket: RawFd) -> Vec<String> {
    let cache = match config.cache {
        Cache::None => "none",
        Cache::Auto => "auto",
        Cache::Always => "always",
    };
    let mut options = vec![
        format!("source={}", directory.display()),
        format!("cache={cache}"),
        "sandbox=namespace".to_owned(),
        "xattr".to_owned(),
    ];
    if config.announce_submounts {
        options.push("announce_submounts".to_owned());
    }
    let mut arguments = vec![format!("--fd={socket}")];
    for option in options {
        arguments.extend(["-o".to_owned(), option]);
    }
    arguments
}

/// Refuses a path that an `-o` option cannot hold: commas separate options, and one version of the
/// daemon splits at every equals sign, the other takes a backslash for an escape.
pub(super) fn check(directory: &Path) -> Result<(), Error> {
    let plain = directory
        .to_str()
        .is_some_and(|text| !text.contains([',', '=', '\\']));
    if plain {
        return Ok(());
    }
    let message = format!(
        "virtiofsd cannot serve {}: use a state root without commas, equals signs, backslashes and \
         bytes that are not UTF-8",
        directory.display()
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_whole_line() {
        let line = arguments(
            &DaemonConfig::default(),
            Path::new("/run/vc/shares/a/ro"),
            3,
        );
        assert_eq!(
            line.join(" "),
            "--fd=3 -o source=/run/vc/shares/a/ro -o cache=auto -o sandbox=namespace -o xattr \
             -o announce_submounts"
        );
        let config = DaemonConfig {
            cache: Cache::None,
            announce_submounts: false,
            ..DaemonConfig::default()
        };
        assert_eq!(
            arguments(&config, Path::new("/s"), 7).join(" "),
            "--fd=7 -o source=/s -o cache=none -o sandbox=namespace -o xattr"
        );
    }

    #[test]
    fn paths_that_would_be_misread_are_refused() {
        for good in ["/run/vc", "/a b/c:d", "/é"] {
            assert!(check(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["/a,b", "/a=b", "/a\\b"] {
            assert!(check(Path::new(bad)).is_err(), "{bad}");
        }
        assert!(check(Path::new(OsStr::from_bytes(b"/\xff"))).is_err());
    }
}
