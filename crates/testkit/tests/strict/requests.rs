//! What requests must hold and must not.

use crate::*;

#[tokio::test]
async fn specifications_hold_what_they_must_and_nothing_that_harms() {
    type Change = fn(&mut oci::Spec);
    fn linux(spec: &mut oci::Spec) -> &mut oci::Linux {
        spec.Linux.mut_or_insert_default()
    }
    fn process(spec: &mut oci::Spec) -> &mut oci::Process {
        spec.Process.mut_or_insert_default()
    }
    fn limits(spec: &mut oci::Spec) -> &mut oci::LinuxResources {
        linux(spec).Resources.mut_or_insert_default()
    }
    let changes: [(Change, &str); 16] = [
        (|s| s.Process = None.into(), "without Process"),
        (
            |s| process(s).Capabilities = None.into(),
            "without Capabilities",
        ),
        (|s| process(s).Args.clear(), "without Args"),
        (|s| s.Root = None.into(), "without Root"),
        (|s| s.Linux = None.into(), "without Linux"),
        (|s| linux(s).Resources = None.into(), "without Resources"),
        (|s| linux(s).Namespaces.truncate(2), "namespace is missing"),
        (
            |s| linux(s).Namespaces[0].Type = "pid".to_owned(),
            "must not be sent",
        ),
        (
            |s| linux(s).Namespaces[0].Path = "/proc/1/ns/mnt".to_owned(),
            "path of the host",
        ),
        (|s| s.Mounts.push(oci::Mount::new()), "mount at"),
        (
            |s| {
                s.Hooks
                    .mut_or_insert_default()
                    .Poststop
                    .push(oci::Hook::new())
            },
            "Hooks",
        ),
        (|s| s.Hooks = Some(oci::Hooks::new()).into(), "empty Hooks"),
        (
            |s| limits(s).Pids = Some(oci::LinuxPids::new()).into(),
            "Pids is set",
        ),
        (
            |s| limits(s).CPU.mut_or_insert_default().Quota = -1,
            "negative limit",
        ),
        (
            |s| linux(s).Seccomp = Some(oci::LinuxSeccomp::new()).into(),
            "action",
        ),
        (
            |s| {
                let sets = process(s).Capabilities.mut_or_insert_default();
                sets.Bounding.push("chown".to_owned());
            },
            "capability",
        ),
    ];
    for (change, rule) in changes {
        let peer = Peer::with_sandbox().await;
        let mut spec = spec("true", false);
        change(&mut spec);
        let reply = peer.create("c1", spec).await;
        peer.caught(reply, rule);
    }
}

#[tokio::test]
async fn our_own_agent_takes_limits_exactly() {
    let peer = peer(Flavor::Exact);
    peer.check().await;
    call!(peer, create_sandbox, CreateSandboxRequest {}).unwrap();
    let mut spec = spec("true", false);
    let limits = spec
        .Linux
        .mut_or_insert_default()
        .Resources
        .mut_or_insert_default();
    limits.Pids.mut_or_insert_default().Limit = 5;
    limits.CPU.mut_or_insert_default().Quota = -1;
    peer.create("c1", spec).await.unwrap();
    peer.fake.assert_clean();
}

#[tokio::test]
async fn the_network_needs_an_mtu_a_prefix_length_and_links_first() {
    let interface = |mtu: u64, mask: &str| types::Interface {
        name: "eth0".to_owned(),
        hwAddr: MAC.to_owned(),
        mtu,
        IPAddresses: vec![types::IPAddress {
            address: "10.0.0.2".to_owned(),
            mask: mask.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for (wrong, rule) in [
        (interface(0, "24"), "mtu 0"),
        (interface(1500, "255.255.255.0"), "not a prefix length"),
    ] {
        let peer = Peer::checked().await;
        let reply = call!(
            peer,
            update_interface,
            UpdateInterfaceRequest {
                interface: Some(wrong),
            }
        );
        peer.caught(reply, rule);
    }
    let route = || {
        let mut routes = Routes::new();
        let device = "eth0".to_owned();
        routes.Routes.push(types::Route {
            device,
            ..Default::default()
        });
        routes
    };
    let peer = Peer::checked().await;
    let reply = call!(
        peer,
        update_routes,
        UpdateRoutesRequest {
            routes: Some(route())
        }
    );
    peer.caught(reply, "before its update");

    let peer = Peer::checked().await;
    let good = Some(interface(1500, "24"));
    call!(
        peer,
        update_interface,
        UpdateInterfaceRequest { interface: good }
    )
    .unwrap();
    call!(
        peer,
        update_routes,
        UpdateRoutesRequest {
            routes: Some(route())
        }
    )
    .unwrap();
    peer.fake.assert_clean();
}

#[tokio::test]
async fn files_are_copied_into_the_share_and_in_order() {
    let share = "/run/kata-containers/shared/containers";
    for (path, offset, length, rule) in [
        (
            "/etc/passwd".to_owned(),
            0,
            1,
            "outside the shared directory",
        ),
        (
            format!("{share}/../x"),
            0,
            1,
            "outside the shared directory",
        ),
        (format!("{share}/x"), 5, 1, "at 5, not 0"),
        (format!("{share}/x"), 0, (1 << 20) + 1, "at once"),
    ] {
        let peer = Peer::with_sandbox().await;
        let reply = call!(
            peer,
            copy_file,
            CopyFileRequest {
                path: path.clone(),
                file_mode: 0o100_644u32,
                file_size: 10i64,
                offset: i64::from(offset),
                data: vec![0; length],
            }
        );
        peer.caught(reply, rule);
    }
    let peer = Peer::with_sandbox().await;
    let part = async |name: &str| {
        call!(
            peer,
            copy_file,
            CopyFileRequest {
                path: format!("{share}/{name}"),
                file_mode: 0o100_644u32,
                file_size: 10i64,
                data: vec![0; 5],
            }
        )
    };
    part("a.txt").await.unwrap();
    let reply = part("a.log").await;
    peer.caught(reply, "two files as");
}
