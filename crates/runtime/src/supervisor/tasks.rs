//! The supervisors that are tasks of this process: the kernel cannot tell whether they live, and no
//! socket is needed to talk to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::inbox::{News, Wish};

/// The tasks, by the directories of their machines. One that ends may overlap with the next for a
/// moment.
static ATTENDED: Mutex<BTreeMap<PathBuf, Vec<Arc<Task>>>> = Mutex::new(BTreeMap::new());

/// A task that supervises.
#[derive(Debug, Default)]
struct Task(Mutex<Option<Line>>);

/// The way to a task, once it listens.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Closed when the task has ended.
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) news: Arc<News>,
}

/// A task supervises while it has this. It goes with the task, however that ends.
#[derive(Debug)]
pub(super) struct Attendance {
    directory: PathBuf,
    task: Arc<Task>,
}

impl Attendance {
    pub(super) fn begin(directory: PathBuf) -> Self {
        let task = Arc::<Task>::default();
        let all = &mut *attended();
        let tasks = all.entry(directory.clone()).or_default();
        tasks.push(Arc::clone(&task));
        Self { directory, task }
    }

    /// From now on the task can be talked to.
    pub(super) fn listen(&self, line: Line) {
        *lock(&self.task.0) = Some(line);
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut attended = attended();
        if let Some(tasks) = attended.get_mut(&self.directory) {
            tasks.retain(|task| !Arc::ptr_eq(task, &self.task));
            if tasks.is_empty() {
                attended.remove(&self.directory);
            }
        }
    }
}

/// Whether a task of this process supervises the machine in this directory.
pub(crate) fn is_attended(directory: &Path) -> bool {
    attended().contains_key(directory)
}

/// The way to the task of this process that supervises the machine in this directory.
pub(super) fn line(directory: &Path) -> Option<Line> {
    let attended = attended();
    let task = attended.get(directory)?.last()?;
    lock(&task.0).clone()
}

fn attended() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<Arc<Task>>>> {
    lock(&ATTENDED)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
