//! What a person sees while a task works. Everything goes to stderr: stdout belongs to the
//! command that `run` starts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Says what is being done right now.
pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("[xtask] {}", text.as_ref());
}

/// Says something that a person should know though the task goes on.
pub(crate) fn warn(text: impl AsRef<str>) {
    eprintln!("[xtask] warning: {}", text.as_ref());
}

/// The steps of a task that stops at the first failure, with the time that each took.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step; its error is told apart by the step's name.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        note(format!("{name} ..."));
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let word = if result.is_ok() { "done" } else { "FAILED" };
        note(format!("{name} {word} in {}", seconds(took)));
        self.done.push((name.to_owned(), took));
        result.with_context(|| format!("step {name} failed"))
    }

    /// Prints the table of steps and times.
    pub(crate) fn summary(&self) {
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        for (name, took) in &self.done {
            note(format!("{:>9}  {name}", seconds(*took)));
        }
        note(format!("{:>9}  in all", seconds(total)));
    }
}

fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// A size in bytes as a person reads it.
pub(crate) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(seconds(Duration::from_millis(340)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn sizes_round_up_so_that_a_limit_is_never_understated() {
        assert_eq!(mebibytes(8 << 20), "8.0 MiB");
        assert_eq!(mebibytes((8 << 20) + 1), "8.1 MiB");
    }
}
