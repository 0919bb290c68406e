//! What is told of a sandbox, from what is stored.

use serde_json::json;
use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, GuestRoot, Lifetime, Mebibytes, NetworkConfig, VcpuCount,
};

use super::*;

fn record() -> Record {
    let config = SandboxConfig {
        id: SandboxId::new("web").unwrap(),
        hostname: None,
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/kernel".into(),
            root: GuestRoot::Initrd("/initrd".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        agent: AgentConfig {
            start: AgentStart::Announces,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::Explicit,
        containers: Vec::new(),
        annotations: BTreeMap::new(),
    };
    Record::new(SandboxState::Running, config, "qemu", 1).unwrap()
}

fn entry(owner: &str, payload: Value) -> UndoEntry {
    UndoEntry {
        owner: owner.to_owned(),
        version: 1,
        payload,
    }
}

#[test]
fn effects_are_sorted_by_what_they_are() {
    let mut record = record();
    record.settled = 4;
    let status = record.status();
    let ledger = vec![
        entry(
            "share",
            json!({"effect": "tree", "path": "/run/vc/shares/web"}),
        ),
        entry("runtime", json!({"intent": {"number": 4, "do": "pause"}})),
        entry("runtime", json!({"intent": {"number": 5, "do": "stop"}})),
        entry("qemu", json!({"process": {}})),
    ];
    let notes = vec!["a note".to_owned()];
    let found = assemble(
        record.into(),
        &status,
        Vec::new(),
        None,
        None,
        ledger.clone(),
        notes,
    );
    assert_eq!(found.pending, [json!({"number": 5, "do": "stop"})]);
    assert_eq!(found.shares, [ledger[0].payload.clone()]);
    assert_eq!(found.ledger, ledger);
}

#[test]
fn the_names_of_the_json_form_are_stable() {
    let record = record();
    let status = record.status();
    let found = assemble(
        record.into(),
        &status,
        Vec::new(),
        None,
        None,
        Vec::new(),
        Vec::new(),
    );
    let json = serde_json::to_value(&found).unwrap();
    let names: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "annotations",
        "boots",
        "config",
        "containers",
        "created_at",
        "failure",
        "generation",
        "guest",
        "hypervisor",
        "id",
        "ledger",
        "machine",
        "network",
        "notes",
        "of_this_boot",
        "pending",
        "plan",
        "processes",
        "shares",
        "state",
        "supervisor",
    ];
    assert_eq!(names, expected);
}
