//! The supervisors that are tasks of this process: of those the kernel cannot tell whether they live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many tasks there are, by the directories of their machines. One that ends may overlap with the
/// next for a moment.
static ATTENDED: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// A task supervises while it has this. It goes with the task, however that ends.
#[derive(Debug)]
pub(super) struct Attendance(PathBuf);

impl Attendance {
    pub(super) fn begin(directory: PathBuf) -> Self {
        *attended().entry(directory.clone()).or_default() += 1;
        Self(directory)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut attended = attended();
        match attended.get_mut(&self.0) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(attended.remove(&self.0)),
        }
    }
}

/// Whether a task of this process supervises the machine in this directory.
pub(crate) fn is_attended(directory: &Path) -> bool {
    attended().contains_key(directory)
}

fn attended() -> MutexGuard<'static, BTreeMap<PathBuf, usize>> {
    ATTENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_known_until_its_last_attendance_ends() {
        let directory = Path::new("/no/such/machine");
        assert!(!is_attended(directory));
        let first = Attendance::begin(directory.to_owned());
        let second = Attendance::begin(directory.to_owned());
        drop(first);
        assert!(is_attended(directory));
        drop(second);
        assert!(!is_attended(directory));
    }
}
