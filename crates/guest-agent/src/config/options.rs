//! Program arguments, for the agent outside a guest.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Config, cmdline};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
vc-guest-agent: init of a virtcontainers guest

As process 1 it reads the kernel command line and takes no arguments. On a host, for tests:
  --listen ADDRESS     vsock://CID:PORT or unix:///PATH
  --run-dir DIR        instead of /run/kata-containers
  --cgroup-root DIR    a cgroup v2 directory, instead of /sys/fs/cgroup
  --log LEVEL          error, warn, info, debug or trace
  --version, --help";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Serve with this configuration.
    Serve(Box<Config>),
    /// Print this text and end.
    Print(String),
}

/// Reads the arguments, without the program's own name.
///
/// # Errors
/// A sentence that names the argument.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut config = Config::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let name = argument.to_string_lossy().into_owned();
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Request::Print(HELP.to_owned())),
            "--version" => {
                return Ok(Request::Print(format!(
                    "vc-guest-agent {}",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            "--listen" => {
                config.listen = value()?
                    .into_string()
                    .ok()
                    .filter(|address| is_address(address))
                    .ok_or("--listen needs vsock://CID:PORT or unix:///PATH")?;
            }
            "--run-dir" => {
                config.run_dir = PathBuf::from(value()?);
                config.namespace_dir = config.run_dir.join("sandbox-ns");
            }
            "--cgroup-root" => config.cgroup_root = PathBuf::from(value()?),
            "--log" => {
                let level = value()?;
                config.log_level = level
                    .to_str()
                    .and_then(cmdline::level)
                    .ok_or_else(|| format!("--log {level:?} is not a level"))?;
            }
            _ => return Err(format!("unknown argument {name:?}; --help lists them")),
        }
    }
    Ok(Request::Serve(Box::new(config)))
}

/// Whether the text is an address that the server can listen on.
pub(crate) fn is_address(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix://") {
        return !path.is_empty();
    }
    text.strip_prefix("vsock://")
        .and_then(|rest| rest.split_once(':'))
        .is_some_and(|(cid, port)| {
            (cid == "-1" || cid.parse::<u32>().is_ok()) && port.parse::<u32>().is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Request, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn folders_and_address_are_taken() {
        let request = parse_words(&["--listen", "unix:///tmp/a", "--run-dir", "/tmp/r"]).unwrap();
        let Request::Serve(config) = request else {
            panic!("expected to serve")
        };
        assert_eq!(config.listen, "unix:///tmp/a");
        assert_eq!(config.run_dir, PathBuf::from("/tmp/r"));
        assert_eq!(config.namespace_dir, PathBuf::from("/tmp/r/sandbox-ns"));
        assert!(!config.init);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse_words(&["--listen"]).unwrap_err().contains("--listen"));
        assert!(parse_words(&["--frob"]).unwrap_err().contains("--frob"));
        assert!(
            parse_words(&["--log", "loud"])
                .unwrap_err()
                .contains("loud")
        );
    }

    #[test]
    fn addresses() {
        for good in [
            "vsock://-1:1024",
            "vsock://3:1",
            "unix:///a",
            "unix://@abstract",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "vsock://",
            "vsock://1024",
            "vsock://x:1",
            "unix://",
            "tcp://1:2",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
