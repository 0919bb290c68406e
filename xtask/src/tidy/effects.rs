//! Which crates touch the world and how: effects belong to effect crates, which enter them in the
//! ledger first; decisions and values stay free of them. (The compiler's own bans, for all crates
//! alike, are in `clippy.toml`.)

use super::Finding;
use super::files::File;
use super::rust::Code;
use super::shape::lines_with;

/// Ways to touch the world, by kind.
const FILES: &[&str] = &["std::fs", "tokio::fs", "rustix::fs"];
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "tokio::time"];
const PROCESSES: &[&str] = &[
    "std::process::Command",
    "tokio::process",
    "std::thread",
    "pidfd_",
];
const NETWORK: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "rtnetlink",
];
const MOUNTS: &[&str] = &["rustix::mount", "nix::mount", "unshare", "setns"];
const ENVIRONMENT: &[&str] = &["std::env"];
const WAITING: &[&str] = &["tokio::", "async fn"];

/// A crate's promise not to do what these words do.
struct Promise {
    krate: &'static str,
    never: &'static [&'static [&'static str]],
    because: &'static str,
}

const PROMISES: &[Promise] = &[
    Promise {
        krate: "types",
        never: &[
            FILES,
            CLOCKS,
            PROCESSES,
            NETWORK,
            MOUNTS,
            ENVIRONMENT,
            WAITING,
        ],
        because: "this crate holds values and decisions",
    },
    Promise {
        krate: "agent-proto",
        never: &[FILES, CLOCKS, PROCESSES, NETWORK, MOUNTS, ENVIRONMENT],
        because: "this crate holds messages",
    },
    Promise {
        krate: "hypervisor",
        never: &[FILES, PROCESSES, NETWORK, MOUNTS, ENVIRONMENT],
        because: "this crate holds ports, and backends have the effects",
    },
    Promise {
        krate: "oci",
        never: &[CLOCKS, PROCESSES, NETWORK, MOUNTS, ENVIRONMENT, WAITING],
        because: "this crate reads a bundle and decides",
    },
    Promise {
        krate: "runtime",
        never: &[
            &["std::process::Command", "tokio::process", "rtnetlink"],
            MOUNTS,
            ENVIRONMENT,
        ],
        because: "the effect crates below do this, and enter it in the ledger first",
    },
    Promise {
        krate: "virtcontainers",
        never: &[
            &["std::process::Command", "tokio::process", "rtnetlink"],
            MOUNTS,
        ],
        because: "the facade is wiring",
    },
];

/// Where `file` breaks its crate's promise. Tests may.
pub(super) fn check(file: &File, code: &Code) -> Vec<Finding> {
    let promise = file
        .krate()
        .and_then(|name| PROMISES.iter().find(|row| row.krate == name));
    let Some(promise) = promise.filter(|_| is_shipped(&file.path)) else {
        return Vec::new();
    };
    let code = Code::before_tests(&code.bare);
    let words = promise.never.iter().copied().flatten();
    words
        .flat_map(|word| lines_with(code, word).map(move |line| (word, line)))
        .map(|(word, line)| {
            Finding::new(&file.path, line, format!("`{word}`: {}", promise.because))
        })
        .collect()
}

fn is_shipped(path: &str) -> bool {
    path.contains("/src/") && !path.ends_with("tests.rs") && !path.contains("/tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "//! X.\nuse std::fs;\n// std::fs\n#[cfg(test)]\nmod tests { use std::fs; }\n";

    fn lines(path: &str) -> Vec<usize> {
        let file = File {
            path: path.into(),
            text: TEXT.into(),
        };
        check(&file, &Code::of(TEXT))
            .into_iter()
            .map(|found| found.line)
            .collect()
    }

    #[test]
    fn a_promise_holds_for_what_ships() {
        assert_eq!(lines("crates/types/src/id.rs"), [2]);
        assert_eq!(lines("crates/types/src/id/tests.rs"), [0; 0]);
        assert_eq!(lines("crates/types/tests/id.rs"), [0; 0]);
    }

    #[test]
    fn crates_of_effects_promise_nothing_here() {
        assert_eq!(lines("crates/store/src/id.rs"), [0; 0]);
    }

    #[test]
    fn reading_a_bundle_is_what_oci_is_for() {
        assert_eq!(lines("crates/oci/src/bundle.rs"), [0; 0]);
    }
}
