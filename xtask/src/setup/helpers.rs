//! Helper programs that Debian does not package: built once from the Rust registry into the cache,
//! pinned to a version, and linked at `bin/` in the cache, where the library looks for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, point};
use crate::cargo;
use crate::progress::note;

/// One program built from the registry.
struct Helper {
    name: &'static str,
    version: &'static str,
    minutes: &'static str,
}

const HELPERS: &[Helper] = &[Helper {
    name: "vhost-device-vsock",
    version: "0.3.0",
    minutes: "about four minutes",
}];

/// Builds what is missing.
pub(super) fn ensure(cache: &Cache) -> Result<()> {
    HELPERS.iter().try_for_each(|helper| helper.ensure(cache))
}

impl Helper {
    fn ensure(&self, cache: &Cache) -> Result<()> {
        let link = cache.path("bin").join(self.name);
        let place = self.place();
        let target = Path::new("..").join(&place).join("bin").join(self.name);
        let is_there = || cache.path(&place).join("bin").join(self.name).is_file();
        if is_there() && std::fs::read_link(&link).is_ok_and(|old| old == target) {
            return Ok(());
        }
        let _lock = cache.lock("tools")?;
        if !is_there() {
            self.build(cache)?;
        }
        std::fs::create_dir_all(cache.path("bin"))?;
        point(&link, &target)
    }

    fn place(&self) -> PathBuf {
        Path::new("tools").join(format!("{}-{}", self.name, self.version))
    }

    fn build(&self, cache: &Cache) -> Result<()> {
        let Self {
            name,
            version,
            minutes,
        } = self;
        note(format!(
            "building {name} {version} ({minutes} on two cores, once)"
        ));
        // What a killed build left; the programs themselves all stay.
        cache.prune("tools", usize::MAX)?;
        let scratch = cache.staging("tools")?;
        cargo::host()
            .args(["install", "--locked", "--version", version])
            .arg("--root")
            .arg(cache.path(self.place()))
            .arg(name)
            .env("CARGO_TARGET_DIR", scratch.path())
            .run_lines(|line| !line.contains("be sure to add"))
            .with_context(|| {
                format!(
                    "cannot build {name} {version}: check that the Rust registry can be reached, \
                     or put the program at {}",
                    cache.path(self.place()).join("bin").join(name).display()
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_built_helper_is_linked_and_not_built_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(dir.path().to_owned()).expect("a cache");
        let helper = Helper {
            name: "no-such-crate",
            version: "1.0.0",
            minutes: "never",
        };
        let bin = cache.path(helper.place()).join("bin");
        fs::create_dir_all(&bin).expect("made");
        fs::write(bin.join("no-such-crate"), "program").expect("written");
        helper.ensure(&cache).expect("nothing to build");
        let through_link = fs::read_to_string(cache.path("bin/no-such-crate"));
        assert_eq!(
            through_link.expect("the link leads to the program"),
            "program"
        );
    }
}
