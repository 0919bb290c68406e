//! Several containers in one sandbox, made from bundles as container managers write them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use virtcontainers_process::{Identity, Signal};
use virtcontainers_tests::Place;
use virtcontainers_tests::bundle::Bundle;
use virtcontainers_tests::program::Program;

/// A sandbox with its first container, and one that joined it.
struct Pod<'a> {
    place: &'a Place,
    first: String,
    member: String,
}

impl<'a> Pod<'a> {
    /// Both are created; none is started.
    fn create(place: &'a Place) -> Result<Self> {
        let pod = Self {
            place,
            first: place.id("first"),
            member: place.id("member"),
        };
        let mut bundle = Bundle::new(place, "exec sleep 100000")?;
        bundle.spec["annotations"] = json!({ "io.kubernetes.cri.container-type": "sandbox" });
        bundle.spec["linux"]["cgroupsPath"] = json!(pod.cgroup(&pod.first));
        pod.create_one(&bundle, &pod.first)?;
        let mut bundle = Bundle::new(place, "echo here; exec sleep 100000")?;
        bundle.spec["annotations"] = json!({
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.sandbox-id": pod.first,
        });
        bundle.spec["linux"]["cgroupsPath"] = json!(pod.cgroup(&pod.member));
        pod.create_one(&bundle, &pod.member)?;
        Ok(pod)
    }

    fn create_one(&self, bundle: &Bundle<'_>, id: &str) -> Result<()> {
        bundle.write()?;
        let create = self
            .place
            .vc(["create", "--bundle"])
            .arg(bundle.directory());
        let directory = self.place.path(&format!("output-{id}"));
        std::fs::create_dir(&directory)?;
        let create = create.arg("--pid-file").arg(self.pid_file(id)).arg(id);
        create.output_to(&directory)?.finish()?.expect(0)?;
        Ok(())
    }

    fn cgroup(&self, id: &str) -> String {
        format!("/{}/{id}", self.place.prefix())
    }

    fn pid_file(&self, id: &str) -> std::path::PathBuf {
        self.place.path(&format!("{id}.pid"))
    }

    /// The process that stands for a container.
    fn process(&self, id: &str) -> Result<Identity> {
        let pid = std::fs::read_to_string(self.pid_file(id))?.parse()?;
        Identity::of(pid)?.with_context(|| format!("process {pid} has ended"))
    }

    fn state(&self, id: &str) -> Result<Value> {
        let state = self.place.vc(["state", id]).finish()?.expect(0)?;
        Ok(serde_json::from_str(&state.text())?)
    }

    fn vc(&self, words: &[&str]) -> Result<()> {
        self.place.vc(words.iter().copied()).finish()?.expect(0)?;
        Ok(())
    }

    /// Deletes both, and the cgroup above theirs.
    fn delete(self) -> Result<()> {
        self.vc(&["delete", "--force", &self.first])
    }
}

fn link(process: Identity, name: &str) -> Result<std::path::PathBuf> {
    Ok(std::fs::read_link(format!("/proc/{}/{name}", process.pid))?)
}

/// Waits until a process is gone, and the record says so too.
fn wait_gone(process: Identity) -> Result<()> {
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let long = std::time::Duration::from_secs(60);
    executor.block_on(process.wait_gone(long))?;
    Ok(())
}

#[test]
fn each_container_has_a_process_in_the_sandboxs_namespace_and_in_its_cgroup() -> Result<()> {
    let place = Place::new()?;
    let pod = Pod::create(&place)?;
    let (first, member) = (pod.process(&pod.first)?, pod.process(&pod.member)?);
    ensure!(first.pid != member.pid, "one process for both");
    ensure!(
        link(first, "ns/net")? == link(member, "ns/net")?,
        "two networks"
    );
    let ours = std::fs::read_link("/proc/self/ns/net")?;
    ensure!(link(first, "ns/net")? != ours, "the host's network");
    for (process, id) in [(first, &pod.first), (member, &pod.member)] {
        let cgroups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid))?;
        let wanted = pod.cgroup(id);
        let elsewhere = cgroups.lines().find(|line| !line.ends_with(&wanted));
        // The unified hierarchy beside version 1 has no controllers here and is joined as well.
        ensure!(elsewhere.is_none(), "{id} is in {elsewhere:?}");
        ensure!(
            pod.state(id)?["pid"] == json!(process.pid),
            "another pid in the state"
        );
    }
    // The program of one runs, that of the other does not.
    pod.vc(&["start", &pod.member])?;
    let states = [&pod.first, &pod.member].map(|id| Ok(pod.state(id)?["status"].clone()));
    let [first, member]: [Result<Value>; 2] = states;
    ensure!((first?, member?) == (json!("created"), json!("running")));
    pod.vc(&["start", &pod.first])?;
    let seen = place.vc(["exec", &pod.member, "hostname"]).finish()?;
    let same = place.vc(["exec", &pod.first, "hostname"]).finish()?;
    ensure!(seen.text() == same.text(), "two machines");
    pod.delete()?;
    place.assert_clean()
}

#[test]
fn a_stand_in_that_is_killed_ends_its_container_alone() -> Result<()> {
    let place = Place::new()?;
    let pod = Pod::create(&place)?;
    pod.vc(&["start", &pod.first])?;
    pod.vc(&["start", &pod.member])?;
    let stand_in = pod.process(&pod.member)?;
    stand_in.signal(Signal::KILL)?;
    wait_gone(stand_in)?;
    // What it stood for is killed, and can be deleted as soon as it has ended.
    pod.vc(&["delete", "--force", &pod.member])?;
    ensure!(pod.state(&pod.first)?["status"] == json!("running"));
    pod.delete()?;
    place.assert_clean()
}

#[test]
fn when_the_machine_is_lost_a_stand_in_says_so_and_fails() -> Result<()> {
    let place = Place::new()?;
    let pod = Pod::create(&place)?;
    pod.vc(&["start", &pod.first])?;
    pod.vc(&["start", &pod.member])?;
    let (stand_in, supervisor) = (pod.process(&pod.member)?, pod.process(&pod.first)?);
    let cgroup =
        Path::new("/sys/fs/cgroup/pids").join(pod.cgroup(&pod.first).trim_start_matches('/'));
    let machine = std::fs::read_to_string(cgroup.join("cgroup.procs"))?;
    let machine = machine
        .lines()
        .find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.starts_with("qemu"))
        })
        .context("the machine is not in the cgroup")?;
    Program::new("kill")
        .arg("-KILL")
        .arg(machine)
        .finish()?
        .expect(0)?;
    wait_gone(stand_in)?;
    wait_gone(supervisor)?;
    let said = place.path(&format!("output-{}", pod.member)).join("stderr");
    let said = std::fs::read_to_string(said)?;
    ensure!(said.contains("the sandbox was lost: "), "{said:?}");
    ensure!(pod.state(&pod.member)?["status"] == json!("stopped"));
    pod.delete()?;
    place.assert_clean()
}
