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

fn measure(store: &FileStore, containers: usize, rounds: usize) -> Outcome<()> {
    let ids = (0..rounds)
        .map(|number| SandboxId::new(format!("speed-{number}")))
        .collect::<Result<Vec<_>, _>>()?;
    let length = serde_json::to_string(&spec()?)?.len();
    println!("{containers} containers with a specification of {length} bytes each:");

    let open = |id: &SandboxId| Ok(store.open(id, LeaseMode::Exclusive, "start", WAIT)?);
    let alone = |id: &SandboxId| Ok(id.clone());
    per_round(
        "create and commit",
        &ids,
        |id| Ok((id.clone(), record(id, containers)?)),
        |(id, record)| Ok(store.create(&id, "create", WAIT)?.commit(record)?),
    )?;
    per_round("open", &ids, alone, |id| open(&id))?;
    per_round("use the configuration", &ids, open, |lease| {
        Ok(lease.record().to_config()?)
    })?;
    per_round("commit", &ids, open, |mut lease| {
        let mut record = lease.record().clone();
        record.state = SandboxState::Ready;
        lease.commit(record)?;
        Ok(lease)
    })?;
    per_round("peek", &ids, alone, |id| Ok(store.peek(&id)?))?;
    let name = format!("list and peek at {rounds}");
    per_round(&name, ids.get(..10).unwrap_or(&ids), alone, |_| {
        let mut all = Vec::new();
        for id in store.list()? {
            all.push(store.peek(&id?)?);
        }
        Ok(all)
    })?;
    let ledger = |id: &SandboxId| Ok(store.ledger(id));
    per_round("10 ledger entries", &ids, ledger, |ledger| {
        for number in 0..10 {
            ledger.record(entry(number))?;
        }
        Ok(())
    })?;
    per_round(
        "read 10 ledger entries",
        &ids,
        ledger,
        |ledger| match ledger.entries()?.entries.len() {
            10 => Ok(()),
            _ => Err("entries are lost".into()),
        },
    )?;
    per_round("remove", &ids, open, |lease| Ok(lease.remove()?))
}

/// Times `operation` on what `prepare` gives, without that and without dropping the result.
fn per_round<T, U>(
    name: &str,
    ids: &[SandboxId],
    mut prepare: impl FnMut(&SandboxId) -> Outcome<T>,
    mut operation: impl FnMut(T) -> Outcome<U>,
) -> Outcome<()> {
    let mut times = Vec::with_capacity(ids.len());
    for id in ids {
        let prepared = prepare(id)?;
        let started = Instant::now();
        let result = operation(prepared)?;
        times.push(micros(started));
        drop(result);
    }
    times.sort_unstable_by(f64::total_cmp);
    let median = times.get(times.len() / 2).ok_or("at least one round")?;
    let best = times.first().copied().unwrap_or_default();
    println!("  {name:<24} median {median:7.1} us, best {best:7.1} us");
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
                cgroup: None,
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
            hypervisor: Default::default(),
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
