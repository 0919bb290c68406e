//! The guest's interfaces and routes, and what is attached to a running machine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use virtcontainers::types::{DeviceInfo, Interface, IpFamily, Route};
use virtcontainers::{CreateOptions, ErrorKind};

use virtcontainers_network::View;
use virtcontainers_tests::Netns;

use crate::rig::{Rig, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interfaces_and_routes_are_listed_and_routes_changed() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("network").await?;

    let interfaces = sandbox.list_interfaces().await?;
    let lo = interfaces
        .iter()
        .find(|one| one.name == "lo")
        .with_context(|| format!("{interfaces:?}"))?;
    assert_eq!(lo.mtu, 65536);
    let addresses: Vec<String> = lo.addresses.iter().map(ToString::to_string).collect();
    assert!(
        addresses.contains(&"127.0.0.1/8".to_owned()),
        "{addresses:?}"
    );

    let before = sandbox.list_routes().await?;
    assert_eq!(sandbox.update_routes(Vec::new()).await?, before);
    let route = Route {
        family: IpFamily::V4,
        destination: Some("192.0.2.0/24".parse()?),
        gateway: None,
        device: "lo".to_owned(),
        source: None,
        // The link itself: rtm_scope of rtnetlink(7).
        scope: 253,
        flags: 0,
        mtu: 0,
    };
    let is_ours = |one: &&Route| one.destination == route.destination && one.device == "lo";
    let after = sandbox.update_routes(vec![route.clone()]).await?;
    assert_eq!(after.iter().filter(is_ours).count(), 1, "{after:?}");
    // The same again replaces it, and the next list has it.
    sandbox.update_routes(vec![route.clone()]).await?;
    let listed = sandbox.list_routes().await?;
    assert_eq!(listed.iter().filter(is_ours).count(), 1, "{listed:?}");
    let nowhere = Route {
        device: "nosuch0".to_owned(),
        ..route.clone()
    };
    let error = sandbox.update_routes(vec![nowhere]).await;
    let error = error.err().context("there is no such interface")?;
    assert!(error.to_string().contains("routes"), "{error}");
    assert_eq!(sandbox.list_routes().await?, listed);

    let before = sandbox.status().await?;
    let device: DeviceInfo = serde_json::from_value(serde_json::json!({
        "kind": "c", "host_path": "/dev/null", "container_path": "/dev/odd",
        "major": 1, "minor": 3, "file_mode": 0o666, "uid": 0, "gid": 0,
        "read_only": false,
    }))?;
    let added = sandbox.add_device(device).await;
    refused(added, ErrorKind::Unsupported, &["/dev/odd"])?;
    assert_eq!(sandbox.status().await?, before, "nothing changed");
    assert_eq!(sandbox.list_interfaces().await?, interfaces);

    sandbox.stop(false).await?;
    let listed = sandbox.list_interfaces().await;
    refused(
        listed,
        ErrorKind::WrongState,
        &["stopped", "start it first"],
    )?;
    rig.finish(sandbox).await
}

/// An interface that is named by its link alone: the guest has what the link has.
fn link(name: &str) -> Result<Interface> {
    Ok(Interface {
        device: String::new(),
        name: name.to_owned(),
        addresses: Vec::new(),
        mtu: 0,
        raw_flags: 0,
        hardware_address: "00:00:00:00:00:00".parse()?,
        pci_path: None,
        link_type: String::new(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interface_comes_and_goes() -> Result<()> {
    let rig = Rig::new()?;
    let namespace = Netns::new(&rig.place, "inside")?;
    let outside = Netns::new(&rig.place, "outside")?;
    let mut config = rig.sandbox(rig.container("plugged", &["sleep", "100000"])?)?;
    config.network.namespace = Some(namespace.path());
    let options = CreateOptions::default();
    let sandbox = rig.runtime.run_sandbox(config, options).await?;
    let id = sandbox.id().clone();
    ensure!(rig.runtime.network(&id).await?.interfaces.is_empty());

    namespace.join("eth0", &outside, "out0", 1500)?;
    namespace.run(
        "ip address add 192.0.2.2/24 dev eth0
         ip route add default via 192.0.2.1",
    )?;
    outside.run("ip address add 192.0.2.1/24 dev out0")?;
    namespace.join("eth1", &outside, "out1", 1500)?;
    let before = namespace.inventory()?;

    // Nothing of what is refused is left.
    let nowhere = sandbox.add_interface(link("eth7")?).await;
    refused(nowhere, ErrorKind::NotFound, &["eth7"])?;
    let bare = sandbox.add_interface(link("eth1")?).await;
    refused(bare, ErrorKind::Invalid, &["eth1"])?;
    let odd = Interface {
        hardware_address: "02:00:5e:10:00:09".parse()?,
        ..link("eth0")?
    };
    let odd = sandbox.add_interface(odd).await;
    refused(odd, ErrorKind::Invalid, &["eth0", "02:00:5e:10:00:09"])?;
    let unknown = sandbox.remove_interface("02:00:5e:10:00:09".parse()?).await;
    refused(unknown, ErrorKind::NotFound, &["02:00:5e:10:00:09"])?;
    namespace.assert_as(&before)?;

    let first = sandbox.add_interface(link("eth0")?).await?;
    let again = sandbox.add_interface(link("eth0")?).await;
    refused(again, ErrorKind::AlreadyExists, &["eth0"])?;
    // By another runtime, which finds the machine by what is stored.
    let renamed = Interface {
        device: "eth1".to_owned(),
        addresses: vec!["198.51.100.2/24".parse()?],
        mtu: 1400,
        ..link("inner1")?
    };
    let second = rig.another_runtime()?.add_interface(&id, renamed).await?;
    assert_ne!(first.pci_path, second.pci_path);
    namespace.join("eth2", &outside, "out2", 1500)?;
    let taken = Interface {
        device: "eth2".to_owned(),
        addresses: vec!["203.0.113.2/24".parse()?],
        ..link("inner1")?
    };
    let taken = sandbox.add_interface(taken).await;
    refused(taken, ErrorKind::Invalid, &["eth2"])?;
    namespace.run("ip link delete eth2")?;
    let listed = sandbox.list_interfaces().await?;
    let named = |name: &str| {
        let one = listed.iter().find(|one| one.name == name);
        one.with_context(|| format!("{name} in {listed:?}"))
    };
    assert_eq!(named("eth0")?.hardware_address, first.hardware_address);
    let inner = named("inner1")?;
    assert_eq!(inner.mtu, 1400);
    ensure!(inner.addresses.contains(&"198.51.100.2/24".parse()?));
    let default = |routes: &[Route]| routes.iter().any(|one| one.destination.is_none());
    ensure!(default(&sandbox.list_routes().await?));
    let status = rig.runtime.network(&id).await?;
    let links: Vec<_> = status.interfaces.iter().map(|one| &*one.link).collect();
    assert_eq!(links, ["eth0", "eth1"]);

    let removed = sandbox.remove_interface(first.hardware_address).await?;
    assert_eq!(removed, first);
    ensure!(!default(&sandbox.list_routes().await?));
    let other = rig.another_runtime()?;
    other.remove_interface(&id, second.hardware_address).await?;
    ensure!(rig.runtime.network(&id).await?.interfaces.is_empty());
    namespace.assert_as(&before)?;
    // What is there still is the sandbox's own.
    sandbox.stop(true).await?;
    drop((namespace, outside));
    rig.finish(sandbox).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_followed() -> Result<()> {
    let rig = Rig::new()?;
    let namespace = Netns::new(&rig.place, "inside")?;
    let outside = Netns::new(&rig.place, "outside")?;
    let mut config = rig.sandbox(rig.container("follower", &["sleep", "100000"])?)?;
    config.network.namespace = Some(namespace.path());
    config.network.follow = true;
    let options = CreateOptions::default();
    let sandbox = rig.runtime.run_sandbox(config, options).await?;
    let names = async || -> Result<Vec<String>> {
        // Takes the lease, which is held until a change was followed to its end.
        let listed = sandbox.list_interfaces().await?;
        Ok(listed.into_iter().map(|one| one.name).collect())
    };
    let before = namespace.inventory()?;

    // As managers do it: the link first, then what belongs to it.
    namespace.join("eth0", &outside, "out0", 1500)?;
    namespace.run("ip address add 192.0.2.2/24 dev eth0")?;
    seen(&namespace, |names| {
        names.iter().any(|name| name.ends_with("_vc"))
    })?;
    assert_eq!(names().await?, ["lo", "eth0"]);
    let status = rig.runtime.network(sandbox.id()).await?;
    assert_eq!(status.interfaces.len(), 1, "{status:?}");

    // What a caller has taken away stays away, whatever else comes.
    let mac = status.interfaces[0].interface.hardware_address;
    sandbox.remove_interface(mac).await?;
    namespace.join("eth1", &outside, "out1", 1500)?;
    namespace.run("ip address add 198.51.100.2/24 dev eth1")?;
    seen(&namespace, |names| {
        names.iter().any(|name| name.ends_with("_vc"))
    })?;
    assert_eq!(names().await?, ["lo", "eth1"]);
    let status = rig.runtime.network(sandbox.id()).await?;
    let skipped: Vec<_> = status.skipped.iter().map(|one| &*one.link).collect();
    assert_eq!(skipped, ["lo", "eth0"]);

    namespace.run(
        "ip link delete eth0
         ip link delete eth1",
    )?;
    seen(&namespace, |names| names == ["lo"])?;
    assert_eq!(names().await?, ["lo"]);
    ensure!(
        rig.runtime
            .network(sandbox.id())
            .await?
            .interfaces
            .is_empty()
    );
    namespace.assert_as(&before)?;

    sandbox.stop(true).await?;
    drop((namespace, outside));
    rig.finish(sandbox).await
}

/// Waits until the names of a namespace's links are as wanted.
fn seen(namespace: &Netns, wanted: impl Fn(&[&str]) -> bool) -> Result<()> {
    let opened = virtcontainers_network::open_namespace(&namespace.path())?;
    let patience = Duration::from_secs(30);
    let enough = |view: &View| {
        let names: Vec<_> = view.links.iter().map(|link| &*link.name).collect();
        wanted(&names)
    };
    virtcontainers_network::scan_until(&opened, patience, enough)?;
    Ok(())
}
