//! How long the operations of the file store take, in a directory that is named: on a tmpfs the
//! system calls are measured, on a disk its syncs.
//!
//! ```text
//! cargo run --release -p virtcontainers-store --example speed -- /dev/shm/vc-speed
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use virtcontainers_store::{Blob, BootId, FileStore, LeaseMode, Record, Store};
use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, ContainerConfig, GuestRoot, Lifetime, Mebibytes,
    NetworkConfig, RootFs, SandboxConfig, SandboxId, SandboxState, UndoEntry, UndoSink, VcpuCount,
};

const WAIT: Duration = Duration::from_secs(10);
const ROUNDS: usize = 1000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let root: PathBuf = std::env::args().nth(1).ok_or("name a directory")?.into();
    let rounds = match std::env::args().nth(2) {
        Some(rounds) => rounds.parse()?,
        None => ROUNDS,
    };
    let store = FileStore::new(root, BootId::current()?);
    for containers in [1, 10] {
        measure(&store, containers, rounds)?;
    }
    Ok(())
}

/// Each operation on a sandbox of its own, so that later ones find a directory that is not small.
fn measure(store: &FileStore, containers: usize, rounds: usize) -> Outcome<()> {
    let ids = (0..rounds)
        .map(|number| SandboxId::new(format!("speed-{number}")))
        .collect::<Result<Vec<_>, _>>()?;
    let length = serde_json::to_string(&spec()?)?.len();
    println!("{containers} containers with a specification of {length} bytes each:");

    let mut records = Vec::new();
    for id in &ids {
        records.push(record(id, containers)?);
    }
    let mut records = records.into_iter();
    per_round("create, commit, drop", &ids, |id| {
        let record = records.next().ok_or("one record each")?;
        store.create(id, "create", WAIT)?.commit(record)?;
        Ok(())
    })?;
    per_round("open, drop", &ids, |id| {
        store.open(id, LeaseMode::Exclusive, "start", WAIT)?;
        Ok(())
    })?;
    per_round("open, use the configuration, drop", &ids, |id| {
        let lease = store.open(id, LeaseMode::Exclusive, "start", WAIT)?;
        lease.record().to_config()?;
        Ok(())
    })?;
    let mut leases = Vec::new();
    for id in &ids {
        leases.push(store.open(id, LeaseMode::Exclusive, "start", WAIT)?);
    }
    let mut held = leases.iter_mut();
    per_round("commit", &ids, |_| {
        let lease = held.next().ok_or("one lease each")?;
        let mut record = lease.record().clone();
        record.state = SandboxState::Ready;
        lease.commit(record)?;
        Ok(())
    })?;
    drop(leases);
    per_round("peek", &ids, |id| {
        store.peek(id)?;
        Ok(())
    })?;
    let started = Instant::now();
    let mut listed = 0;
    for id in store.list()? {
        store.peek(&id?)?;
        listed += 1;
    }
    println!("  list and peek {listed}: {:.2} ms", micros(started) / 1e3);
    per_round("ledger, 10 entries", &ids, |id| {
        let ledger = store.ledger(id);
        for number in 0..10 {
            ledger.record(entry(number))?;
        }
        Ok(())
    })?;
    per_round("ledger, read 10 entries", &ids, |id| {
        let found = store.ledger(id).entries()?.entries;
        if found.len() == 10 {
            Ok(())
        } else {
            Err("entries are lost".into())
        }
    })?;
    per_round("open, remove", &ids, |id| {
        store
            .open(id, LeaseMode::Exclusive, "delete", WAIT)?
            .remove()?;
        Ok(())
    })
}

fn per_round(
    name: &str,
    ids: &[SandboxId],
    mut operation: impl FnMut(&SandboxId) -> Outcome<()>,
) -> Outcome<()> {
    let mut times = Vec::with_capacity(ids.len());
    for id in ids {
        let started = Instant::now();
        operation(id)?;
        times.push(micros(started));
    }
    times.sort_unstable_by(f64::total_cmp);
    let median = times.get(times.len() / 2).ok_or("at least one round")?;
    let best = times.first().copied().unwrap_or_default();
    println!("  {name:<36} median {median:7.1} us, best {best:7.1} us");
    Ok(())
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

fn entry(number: u32) -> UndoEntry {
    UndoEntry {
        owner: "share".to_owned(),
        version: 1,
        payload: serde_json::json!({ "kind": "mount", "at": "/run/vc/shares/x/ro", "n": number }),
    }
}

/// What an image's service typically has: a page of environment and the usual mounts.
fn spec() -> Outcome<Spec> {
    let mut spec = serde_json::to_value(Spec::default())?;
    let env = (0..25).map(|n| format!("SERVICE_{n}_ADDRESS=tcp://10.0.0.{n}:8080/path"));
    spec["process"]["env"] = env.collect();
    let volumes = (0..8).map(|n| {
        serde_json::json!({
            "destination": format!("/var/lib/service/volume-{n}"), "type": "bind",
            "source": format!("/var/lib/kubelet/pods/3f0f2c0e/volumes/volume-{n}"),
            "options": ["rbind", "rprivate", "rw"],
        })
    });
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        mounts.extend(volumes);
    }
    Ok(serde_json::from_value(spec)?)
}

fn record(id: &SandboxId, containers: usize) -> Outcome<Record> {
    let spec = spec()?;
    let containers = (0..containers)
        .map(|number| {
            Ok(ContainerConfig {
                id: format!("{id}-{number}").parse()?,
                rootfs: RootFs::Host("/srv/rootfs".into()),
                bundle: Some("/run/bundle".into()),
                spec: spec.clone(),
            })
        })
        .collect::<Outcome<_>>()?;
    let config = SandboxConfig {
        id: id.clone(),
        hostname: None,
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/boot/vmlinux".into(),
            root: GuestRoot::Initrd("/boot/initrd".into()),
            kernel_params: Vec::new(),
        },
        agent: AgentConfig {
            start: AgentStart::Announces,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::Explicit,
        containers,
        annotations: [("key".to_owned(), "value".to_owned())].into(),
    };
    let mut record = Record::new(SandboxState::Creating, config, "fake", 0)?;
    record.plan = Some(Blob {
        version: 1,
        data: serde_json::json!({
            "nonce": "3f0f2c0e00004000", "attachment": "detached",
            "machine": {
                "memory": 256, "vcpus": 1, "kernel": "/boot/vmlinux", "initrd": "/boot/initrd",
                "directory": format!("/run/vc/machines/{id}"), "deadlines": [10, 60, 5, 3, 15, 10],
                "share": { "tag": "kataShared", "socket": "virtiofsd.sock" },
            },
        }),
    });
    Ok(record)
}
