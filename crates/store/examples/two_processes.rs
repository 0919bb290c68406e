//! A sandbox's record across processes: run it twice at the same time with the same directory.
//!
//! ```text
//! cargo run -p virtcontainers-store --example two_processes -- /tmp/vc-example
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use virtcontainers_store::{BootId, ErrorKind, FileStore, LeaseMode, Record, Store};
use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, GuestRoot, Lifetime, Mebibytes, NetworkConfig,
    SandboxConfig, SandboxId, SandboxState, VcpuCount,
};

const WAIT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("name a directory")?;
    let store = FileStore::new(root, BootId::current()?);
    let id = SandboxId::new("example")?;
    match store.create(&id, "create", WAIT) {
        Ok(claim) => {
            let record = Record::new(SandboxState::Creating, config(&id), "none", 0)?;
            let lease = claim.commit(record)?;
            println!("created, generation {}", lease.record().generation());
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => println!("{error}"),
        Err(error) => return Err(error.into()),
    }
    match count(&store, &id) {
        Err(error) if error.kind() == ErrorKind::NotFound => println!("the other one removed it"),
        result => result?,
    }
    Ok(())
}

fn count(store: &dyn Store, id: &SandboxId) -> Result<(), virtcontainers_store::Error> {
    for _ in 0..1000 {
        let mut lease = store.open(id, LeaseMode::Exclusive, "count", WAIT)?;
        let mut record = lease.record().clone();
        record.created_at += 1;
        lease.commit(record)?;
    }
    let seen = store.peek(id)?;
    println!("{} of {} commits", seen.created_at, seen.generation());
    store
        .open(id, LeaseMode::Exclusive, "remove", WAIT)?
        .remove()
}

fn config(id: &SandboxId) -> SandboxConfig {
    SandboxConfig {
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
        containers: Vec::new(),
        annotations: BTreeMap::new(),
    }
}
