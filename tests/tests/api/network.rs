//! The guest's interfaces and routes, and what cannot be attached to a running machine yet.

use anyhow::{Context, Result};
use virtcontainers::ErrorKind;
use virtcontainers::types::{DeviceInfo, Interface, IpFamily, Route};

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
    let interface = Interface {
        name: "eth9".to_owned(),
        hardware_address: "02:00:5e:10:00:09".parse()?,
        ..lo.clone()
    };
    let mac = interface.hardware_address;
    let added = sandbox.add_interface(interface).await;
    refused(added, ErrorKind::Unsupported, &["eth9", "qemu"])?;
    let removed = sandbox.remove_interface(mac).await;
    refused(removed, ErrorKind::Unsupported, &["02:00:5e:10:00:09"])?;
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
