//! What is known of a machine that did not come up: phase, machine, last words, likely causes.

use std::fmt;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::MachineExit;

use crate::boot::Phase;

/// How many lines of the guest's console a report shows.
pub(crate) const CONSOLE_LINES: usize = 20;

/// What was seen of a failed boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootReport {
    /// The phase that did not complete.
    pub phase: Phase,
    /// Milliseconds from the start of the operation to the failure.
    pub elapsed_ms: u64,
    /// How the machine ended; absent while it lived.
    pub machine_exit: Option<MachineExit>,
    /// The last lines of the guest's console, at most twenty.
    pub console: Vec<String>,
    /// Likely causes that were looked at, each with what was found.
    pub checks: Vec<String>,
}

impl fmt::Display for BootReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "phase: {} (after {} ms)", self.phase, self.elapsed_ms)?;
        match &self.machine_exit {
            None if self.phase < Phase::Launch => writeln!(f, "machine: not started")?,
            None => writeln!(f, "machine: alive when the boot was given up")?,
            Some(exit) => writeln!(f, "machine: {exit}")?,
        }
        if let Some(stderr) = self
            .machine_exit
            .as_ref()
            .map(|exit| exit.stderr.trim())
            .filter(|text| !text.is_empty())
        {
            writeln!(f, "its standard error:")?;
            write_indented(f, stderr.lines())?;
        }
        if self.console.is_empty() {
            writeln!(f, "guest console: empty")?;
        } else {
            writeln!(f, "guest console, last {} lines:", self.console.len())?;
            write_indented(f, self.console.iter().map(String::as_str))?;
        }
        if !self.checks.is_empty() {
            writeln!(f, "checked:")?;
            write_indented(f, self.checks.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

fn write_indented<'a>(
    f: &mut fmt::Formatter<'_>,
    lines: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    for line in lines {
        writeln!(f, "    {line}")?;
    }
    Ok(())
}

/// The likely causes of a failure in `phase`, judged from what was seen. Pure.
pub(crate) fn likely_causes(
    phase: Phase,
    accelerated: bool,
    console: &[String],
    exit: Option<&MachineExit>,
) -> Vec<String> {
    let mut causes = Vec::new();
    let says = |word: &str| console.iter().any(|line| line.contains(word));
    if phase >= Phase::Launch && !accelerated {
        causes.push(
            "the guest's processor is emulated, which is slow: raise runtime.deadline_factor if \
             the console shows progress"
                .to_owned(),
        );
    }
    if phase == Phase::Guest && console.is_empty() && exit.is_none() {
        causes.push(
            "the console is empty: the kernel may not fit the machine; it must be an x86-64 \
             kernel with a PVH note, for example from `cargo xtask guest`"
                .to_owned(),
        );
    }
    if says("Kernel panic") {
        causes.push("the guest's kernel panicked: see the console lines".to_owned());
    }
    if says("No working init found") || says("Unable to mount root") {
        causes.push("the initrd holds no program that the kernel can start as /init".to_owned());
    }
    if says("Out of memory") || says("out of memory") {
        causes.push("the guest ran out of memory: give it more with --memory".to_owned());
    }
    let stderr = exit.map(|exit| exit.stderr.as_str()).unwrap_or_default();
    if stderr.contains("Cannot allocate memory") || stderr.contains("cannot set up guest memory") {
        causes.push("the host could not give the memory: lower --memory".to_owned());
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BootReport {
        BootReport {
            phase: Phase::Guest,
            elapsed_ms: 1200,
            machine_exit: Some(MachineExit {
                program: "qemu".into(),
                reason: "killed by signal 9".into(),
                stderr: "qemu: oh\n".into(),
                expected: false,
            }),
            console: vec!["Kernel panic - not syncing".into()],
            checks: vec!["one".into()],
        }
    }

    #[test]
    fn a_report_says_phase_machine_stderr_console_and_causes() {
        let text = report().to_string();
        for part in [
            "phase: guest (after 1200 ms)",
            "killed by signal 9",
            "    qemu: oh",
            "    Kernel panic",
            "    one",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[test]
    fn causes_follow_from_what_was_seen() {
        let console = vec!["Kernel panic - not syncing: No working init found".to_owned()];
        let causes = likely_causes(Phase::Guest, true, &console, None);
        assert_eq!(causes.len(), 2, "{causes:?}");
        assert_eq!(likely_causes(Phase::Guest, true, &[], None).len(), 1);
        assert!(likely_causes(Phase::Share, true, &[], None).is_empty());
    }
}
