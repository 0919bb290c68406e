//! The version of a program, in its own words.

use std::path::Path;
use std::time::Duration;

use virtcontainers_process::{Launcher, OutputTail, Stream};

/// Longer than any program needs to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first line that `program --version` prints; `None` when it prints none. Blocks.
pub(crate) fn of(program: &Path) -> Option<String> {
    let (output, writer) = OutputTail::pipe().ok()?;
    let child = Launcher::new(program)
        .arg("--version")
        .stdout(Stream::Descriptor(writer))
        .kill_on_drop()
        .spawn()
        .ok()?;
    // What a program says of its version fits into the pipe: nobody has to read meanwhile.
    let exit = child.wait_blocking(PATIENCE).ok()?;
    let text = output.text();
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    exit.is_success().then(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_tells_its_version() {
        let version = of(Path::new("/bin/ls")).unwrap();
        assert!(version.contains("ls"), "{version}");
        assert_eq!(of(Path::new("/bin/false")), None);
        assert_eq!(of(Path::new("/no/such/program")), None);
    }
}
