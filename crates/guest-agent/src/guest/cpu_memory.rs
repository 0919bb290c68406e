//! Brings plugged-in CPUs and memory online.

use std::path::Path;
use std::time::Duration;

use crate::device::{children, wait_for};
use crate::status::{Doing as _, Failure, Result};

/// How long the CPUs may take to appear.
const PATIENCE: Duration = Duration::from_secs(5);

/// Brings CPUs online until `cpus` are (0: leaves them), then, unless `cpu_only`, all memory.
///
/// # Errors
/// INTERNAL when there are not enough CPUs in time, or memory refuses.
pub(crate) async fn online(cpus: u32, cpu_only: bool) -> Result<()> {
    if cpus > 0 {
        let folder = Path::new("/sys/devices/system/cpu");
        let enough = || (online_cpus(folder) >= cpus as usize).then_some(());
        wait_for(PATIENCE, &format!("CPU number {cpus}"), enough).await?;
    }
    if !cpu_only {
        for block in children(Path::new("/sys/devices/system/memory")) {
            let state = block.join("state");
            if std::fs::read_to_string(&state).is_ok_and(|text| text.trim() == "offline") {
                std::fs::write(&state, "online").doing(|| format!("write {}", state.display()))?;
            }
        }
    }
    Ok(())
}

/// Wakes every CPU that is there and counts those that are awake.
fn online_cpus(folder: &Path) -> usize {
    let numbered = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str()?.strip_prefix("cpu"))
            .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let awake = |cpu: &Path| {
        let switch = cpu.join("online");
        match std::fs::read_to_string(&switch) {
            Ok(state) if state.trim() == "0" => std::fs::write(&switch, "1").is_ok(),
            // The first CPU has no switch: it cannot be turned off.
            _ => true,
        }
    };
    children(folder)
        .iter()
        .filter(|cpu| numbered(cpu) && awake(cpu))
        .count()
}

/// The guest's unit of memory hot-plug in bytes; 0 when it has none.
///
/// # Errors
/// INTERNAL when the kernel's text is not a number.
pub(super) fn memory_block_size() -> Result<u64> {
    match std::fs::read_to_string("/sys/devices/system/memory/block_size_bytes") {
        Ok(text) => u64::from_str_radix(text.trim(), 16)
            .map_err(|_| Failure::internal(format!("memory block size {text:?} is no number"))),
        Err(_) => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_cpus_are_woken_and_counted() {
        let folder = std::env::temp_dir().join(format!("vc-cpus-{}", std::process::id()));
        for cpu in ["cpu0", "cpu1", "cpu2", "cpufreq", "cpuidle"] {
            std::fs::create_dir_all(folder.join(cpu)).unwrap();
        }
        std::fs::write(folder.join("cpu1/online"), "1\n").unwrap();
        std::fs::write(folder.join("cpu2/online"), "0\n").unwrap();
        let count = online_cpus(&folder);
        let woken = std::fs::read_to_string(folder.join("cpu2/online")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(count, 3);
        assert_eq!(woken, "1");
    }
}
