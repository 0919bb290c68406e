//! Mounts of a bundle, as container managers write them.

use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::Result;
use serde_json::json;
use virtcontainers_tests::Place;
use virtcontainers_tests::bundle::Bundle;

#[test]
fn a_bundle_runs_as_managers_write_it() -> Result<()> {
    let place = Place::new()?;
    let file = place.path("hosts");
    std::fs::write(&file, "127.0.0.1 here\n")?;
    let link = place.path("link");
    std::os::unix::fs::symlink(&file, &link)?;
    std::fs::create_dir(place.rootfs().join("kept"))?;
    std::fs::write(place.rootfs().join("kept/file"), "from below\n")?;
    let script = "cat /etc/hosts /run/.containerenv /kept/file; echo more > /kept/new; \
                  df -k /dev/shm | awk 'NR == 2 { print $2 }'; ls /dev/null; \
                  nproc; test -e /sys/class/net/eth9 || echo none; hostname";
    let private = ["bind", "rprivate"];
    let mut bundle = Bundle::new(&place, script)?
        .mount("bind", &file, "/etc/hosts", &private)
        .mount("bind", &link, "/run/.containerenv", &private)
        .mount("bind", Path::new("/sys"), "/sys", &["rbind", "ro"])
        .mount("bind", Path::new("/dev/null"), "/dev/null2", &["bind"])
        .mount(
            "tmpfs",
            Path::new("tmpfs"),
            "/kept",
            &["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"],
        );
    for mount in bundle.spec["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/dev/shm" {
            mount["options"] = json!(["nosuid", "size=16m"]);
        }
    }
    bundle.spec["hostname"] = json!("bundled");
    bundle.spec["vm"] = json!({"hwConfig": {"vcpus": 2}});
    let run = bundle.run(&place.id("bundle"))?.finish()?.expect(0)?;
    let expected =
        "127.0.0.1 here\n127.0.0.1 here\nfrom below\n16384\n/dev/null\n2\nnone\nbundled\n";
    assert_eq!(run.text(), expected);
    assert!(!place.rootfs().join("kept/new").exists());
    place.assert_clean()
}

#[test]
fn what_cannot_be_shared_is_refused_by_name_before_anything_starts() -> Result<()> {
    let place = Place::new()?;
    let socket = place.path("socket");
    let listener = UnixListener::bind(&socket)?;
    let socket_bundle =
        Bundle::new(&place, "true")?.mount("bind", &socket, "/run/socket", &["bind"]);
    let mut mapped = Bundle::new(&place, "true")?;
    mapped.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let mut kernel = Bundle::new(&place, "true")?;
    kernel.spec["vm"] = json!({"kernel": {"path": "/nonexistent/kernel"}});
    for (bundle, part) in [
        (socket_bundle, "is a socket"),
        (mapped, "linux.uidMappings"),
        (kernel, "vm.kernel.path"),
    ] {
        let run = bundle.run(&place.id("refused"))?.finish()?;
        assert_ne!(run.status, 0);
        assert!(run.stderr.contains(part), "{}", run.stderr);
        assert!(run.stdout.is_empty());
    }
    drop(listener);
    place.assert_clean()
}
