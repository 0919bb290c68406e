//! Many trials side by side, all of them to their ends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow, bail};

/// How many trials run at a time: they wait for each other's processes most of the time.
const SIDE_BY_SIDE: usize = 3;

/// Tries everything, tells what failed, and fails if anything did. Gives the results in no order.
pub(crate) fn sweep<T: Sync, R: Send>(
    trials: &[T],
    attempt: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = attempt(trial);
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    let results = results.into_inner();
    let results = results.map_err(|_| anyhow!("a trial panicked"))?;
    let mut good = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(result) => good.push(result),
            Err(error) => println!("{error:#}"),
        }
    }
    match trials.len() - good.len() {
        0 => Ok(good),
        failed => bail!("{failed} of {} trials failed", trials.len()),
    }
}
