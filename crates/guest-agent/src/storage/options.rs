//! Mount options as words: some are flags of the system call, the rest is the file system's.

use rustix::mount::MountFlags;

use crate::status::{Failure, Result};

/// Options in the form of mount(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The flags.
    pub(crate) flags: MountFlags,
    /// What is left for the file system, joined by commas.
    pub(crate) data: String,
}

/// Sorts words. `bind` and `rbind` are flags too; words of the host's tools are dropped.
///
/// # Errors
/// INVALID_ARGUMENT for `loop`, which needs a program that the guest does not have.
pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Options> {
    let mut flags = MountFlags::empty();
    let mut data: Vec<&str> = Vec::new();
    for word in words {
        match flag(word) {
            Some(Effect::Set(flag)) => flags |= flag,
            Some(Effect::Clear(flag)) => flags -= flag,
            Some(Effect::Nothing) => {}
            None if word == "loop" => {
                return Err(Failure::invalid("mount option \"loop\" is not supported"));
            }
            None => data.push(word),
        }
    }
    Ok(Options {
        flags,
        data: data.join(","),
    })
}

enum Effect {
    Set(MountFlags),
    Clear(MountFlags),
    Nothing,
}

fn flag(word: &str) -> Option<Effect> {
    use Effect::{Clear, Nothing, Set};
    Some(match word {
        "" | "defaults" | "rw,defaults" | "auto" | "noauto" | "user" | "nouser" | "_netdev" => {
            Nothing
        }
        "ro" => Set(MountFlags::RDONLY),
        "rw" => Clear(MountFlags::RDONLY),
        "nosuid" => Set(MountFlags::NOSUID),
        "suid" => Clear(MountFlags::NOSUID),
        "nodev" => Set(MountFlags::NODEV),
        "dev" => Clear(MountFlags::NODEV),
        "noexec" => Set(MountFlags::NOEXEC),
        "exec" => Clear(MountFlags::NOEXEC),
        "sync" => Set(MountFlags::SYNCHRONOUS),
        "async" => Clear(MountFlags::SYNCHRONOUS),
        "dirsync" => Set(MountFlags::DIRSYNC),
        "noatime" => Set(MountFlags::NOATIME),
        "atime" => Clear(MountFlags::NOATIME),
        "nodiratime" => Set(MountFlags::NODIRATIME),
        "diratime" => Clear(MountFlags::NODIRATIME),
        "relatime" => Set(MountFlags::RELATIME),
        "norelatime" => Clear(MountFlags::RELATIME),
        "strictatime" => Set(MountFlags::STRICTATIME),
        "remount" => Set(remount()),
        "bind" => Set(bind()),
        "rbind" => Set(bind() | MountFlags::from_bits_retain(libc::MS_REC as u32)),
        _ => return None,
    })
}

/// `MS_REMOUNT`, which rustix keeps out of its flags because its own calls add it.
pub(crate) fn remount() -> MountFlags {
    MountFlags::from_bits_retain(libc::MS_REMOUNT as u32)
}

fn bind() -> MountFlags {
    MountFlags::from_bits_retain(libc::MS_BIND as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_data_are_sorted_and_the_last_word_wins() {
        let options = parse([
            "nosuid",
            "nodev",
            "mode=1777",
            "ro",
            "rw",
            "size=64m",
            "defaults",
        ])
        .unwrap();
        assert_eq!(options.flags, MountFlags::NOSUID | MountFlags::NODEV);
        assert_eq!(options.data, "mode=1777,size=64m");
    }

    #[test]
    fn loop_is_refused() {
        assert!(parse(["ro", "loop"]).is_err());
    }
}
