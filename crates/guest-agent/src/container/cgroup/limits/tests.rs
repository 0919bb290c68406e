//! Limits as the files of cgroup v2 want them.

use oci_spec::runtime::{LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources};
use serde_json::json;

use super::{Current, weight, writes};

/// The writes for limits in JSON, as `file=value`, or the refusal.
fn plan(resources: serde_json::Value) -> Result<Vec<String>, String> {
    change(resources, &Current::default())
}

fn change(resources: serde_json::Value, current: &Current) -> Result<Vec<String>, String> {
    let resources: LinuxResources = serde_json::from_value(resources).unwrap();
    let writes = writes(&resources, current).map_err(|error| error.to_string())?;
    Ok(writes
        .iter()
        .map(|write| format!("{}={}", write.file, write.value))
        .collect())
}

#[test]
fn limits_become_files() {
    for (resources, expected) in [
        (json!({}), vec![]),
        (json!({"pids": {"limit": 32}}), vec!["pids.max=32"]),
        (json!({"pids": {"limit": -1}}), vec!["pids.max=max"]),
        (json!({"pids": {"limit": 0}}), vec!["pids.max=max"]),
        (json!({"memory": {"limit": 0}}), vec![]),
        (json!({"memory": {"limit": -1}}), vec!["memory.max=max"]),
        (
            json!({"memory": {"limit": 100, "swap": 150, "reservation": 50}}),
            vec!["memory.max=100", "memory.swap.max=50", "memory.low=50"],
        ),
        (
            json!({"memory": {"limit": 100, "swap": 100}}),
            vec!["memory.max=100", "memory.swap.max=0"],
        ),
        (
            json!({"memory": {"limit": 9, "swap": -1}}),
            vec!["memory.max=9", "memory.swap.max=max"],
        ),
        (
            json!({"memory": {"limit": -1, "swap": 5}}),
            vec!["memory.max=max", "memory.swap.max=max"],
        ),
        (
            json!({"cpu": {"quota": 50000}}),
            vec!["cpu.max=50000 100000"],
        ),
        (
            json!({"cpu": {"quota": 5, "period": 10}}),
            vec!["cpu.max=5 10"],
        ),
        (json!({"cpu": {"quota": -1}}), vec!["cpu.max=max"]),
        (json!({"cpu": {"period": 10}}), vec!["cpu.max=max 10"]),
        (
            json!({"cpu": {"quota": 0, "period": 0, "shares": 0}}),
            vec![],
        ),
        (
            json!({"cpu": {"cpus": "0-1,3", "mems": "0"}}),
            vec!["cpuset.cpus=0-1,3", "cpuset.mems=0"],
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}),
            vec!["hugetlb.2MB.max=4194304"],
        ),
        (
            json!({"blockIO": {"weight": 1000, "throttleReadBpsDevice":
                [{"major": 8, "minor": 0, "rate": 7}]}}),
            vec!["io.weight=default 10000", "io.max=8:0 rbps=7"],
        ),
        (
            json!({"unified": {"memory.high": "7"}}),
            vec!["memory.high=7"],
        ),
    ] {
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(plan(resources.clone()), Ok(expected), "{resources}");
    }
}

#[test]
fn nonsense_is_refused() {
    for resources in [
        json!({"memory": {"swap": 100}}),
        json!({"memory": {"limit": 100, "swap": 50}}),
        json!({"cpu": {"cpus": "0;1"}}),
        json!({"cpu": {"realtimeRuntime": 5}}),
        json!({"blockIO": {"weight": 5}}),
        json!({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}),
        json!({"unified": {"../memory.max": "1"}}),
        json!({"unified": {"cgroup.procs": "1"}}),
    ] {
        assert!(plan(resources.clone()).is_err(), "{resources}");
    }
}

#[test]
fn what_is_not_given_stays() {
    let current = Current::read("50000 200000\n", "1000\n");
    for (resources, expected) in [
        (json!({"cpu": {"quota": 7}}), "cpu.max=7 200000"),
        (json!({"cpu": {"quota": -1}}), "cpu.max=max 200000"),
        (json!({"cpu": {"period": 9}}), "cpu.max=50000 9"),
        (json!({"memory": {"swap": 1500}}), "memory.swap.max=500"),
    ] {
        let changed = change(resources.clone(), &current);
        assert_eq!(changed, Ok(vec![expected.to_owned()]), "{resources}");
    }
    let below = change(json!({"memory": {"swap": 500}}), &current);
    assert!(below.is_err());
    let free = Current::read("max 100000\n", "max\n");
    let swap = change(json!({"memory": {"swap": 1500}}), &free);
    assert_eq!(swap, Ok(vec!["memory.swap.max=max".to_owned()]));
    // Kernels without the controllers have neither file.
    assert_eq!(Current::read("", ""), Current::default());
}

#[test]
fn shares_become_weights() {
    assert_eq!(
        [2, 1024, 262_144, 0, u64::MAX].map(weight),
        [1, 39, 10000, 1, 10000]
    );
}

#[test]
fn nothing_is_written_for_what_is_not_there() {
    let mut resources = LinuxResources::default();
    resources.set_memory(Some(LinuxMemoryBuilder::default().build().unwrap()));
    resources.set_devices(None);
    assert_eq!(writes(&resources, &Current::default()).unwrap(), []);
    resources.set_pids(Some(
        LinuxPidsBuilder::default().limit(1_i64).build().unwrap(),
    ));
    assert_eq!(writes(&resources, &Current::default()).unwrap().len(), 1);
}
