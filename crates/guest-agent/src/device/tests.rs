//! Addresses, and the search for what they name in a made-up sysfs.

use super::*;

#[test]
fn pci_paths() {
    for good in ["02", "02/03", "1f.7", "2/3.1", "20/01/02"] {
        assert!(good.parse::<PciPath>().is_ok(), "{good}");
    }
    for bad in [
        "", "/", "02/", "zz", "02.8", "100", "20", "02//03", "../..", "20/01",
    ] {
        assert!(bad.parse::<PciPath>().is_err(), "{bad}");
    }
}

#[test]
fn pci_paths_are_written_as_they_are_read() {
    for text in ["02", "1e/01", "1f.7", "20/01/02"] {
        assert_eq!(text.parse::<PciPath>().unwrap().to_string(), text);
    }
}

#[test]
fn scsi_addresses() {
    assert!(address::ScsiTarget::parse("0:1").is_ok());
    for bad in ["", "1", ":", "a:b", "0:-1", "0:1:2"] {
        assert!(address::ScsiTarget::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_disk_behind_a_bridge_is_found() {
    let sys = std::env::temp_dir().join(format!("vc-sysfs-{}", std::process::id()));
    let function = sys.join("devices/pci0000:00/0000:00:02.0/0000:05:03.0");
    let disk = function.join("virtio3/block/vdb");
    std::fs::create_dir_all(&disk).unwrap();
    std::fs::write(disk.join("dev"), "254:16\n").unwrap();
    std::fs::create_dir_all(sys.join("devices/pci0000:00/0000:00:02.0/pci_bus")).unwrap();

    let found = "02/03".parse::<PciPath>().unwrap().sysfs(&sys);
    let block = found.as_deref().and_then(block_below);
    let missing = "02/04".parse::<PciPath>().unwrap().sysfs(&sys);
    std::fs::remove_dir_all(&sys).unwrap();

    assert_eq!(found, Some(function));
    assert_eq!(missing, None);
    let expected = Block {
        node: PathBuf::from("/dev/vdb"),
        major: 254,
        minor: 16,
    };
    assert_eq!(block, Some(expected));
}

/// A tree as of a machine with a bridge in the slot 1e; sysfs has files beside the folders.
fn bridge(sys: &Path) -> PathBuf {
    let bridge = sys.join("devices/pci0000:00/0000:00:1e.0");
    std::fs::create_dir_all(bridge.join("pci_bus/0000:01")).unwrap();
    std::fs::write(bridge.join("vendor"), "0x1b36\n").unwrap();
    bridge
}

#[test]
fn an_interface_behind_a_bridge_is_found_when_it_is_there_whole() {
    let place = tempfile::tempdir().unwrap();
    let function = bridge(place.path()).join("0000:01:01.0");
    let path: PciPath = "1e/01".parse().unwrap();
    let found = || interface_below(&path.sysfs(place.path())?);
    assert_eq!(found(), None, "no function");
    std::fs::create_dir_all(function.join("virtio4")).unwrap();
    assert_eq!(found(), None, "no driver");
    let net = function.join("virtio4/net");
    std::fs::create_dir_all(&net).unwrap();
    assert_eq!(found(), None, "no interface");
    std::fs::create_dir_all(net.join("eth1")).unwrap();
    assert_eq!(found(), None, "no index");
    std::fs::write(net.join("eth1/ifindex"), "7\n").unwrap();
    assert_eq!(found(), Some(7));
    // One that is no virtio device has its folder in the function itself.
    std::fs::rename(&net, function.join("net")).unwrap();
    assert_eq!(found(), Some(7));
}

/// What is there at the first look needs no event, and what appears between the first look and the
/// one after the socket is open is not missed.
#[tokio::test]
async fn the_wait_sees_what_was_there_and_what_appears_before_it_listens() {
    for there_at in [1, 2] {
        let looks = std::cell::Cell::new(0);
        let scan = || {
            looks.set(looks.get() + 1);
            (looks.get() >= there_at).then_some(())
        };
        let patience = Duration::from_secs(60);
        wait_for(patience, "it", scan).await.unwrap();
        assert_eq!(looks.get(), there_at);
    }
}

/// Each event is a reason to look again.
#[tokio::test]
async fn the_wait_looks_again_at_an_event() {
    let looks = std::cell::Cell::new(0);
    let scan = || {
        looks.set(looks.get() + 1);
        if looks.get() == 2 {
            // Now it listens. The kernel says again that this link is there; nothing changes.
            std::fs::write("/sys/class/net/lo/uevent", "change").unwrap();
        }
        (looks.get() >= 3).then_some(())
    };
    let patience = Duration::from_secs(60);
    wait_for(patience, "it", scan).await.unwrap();
}

#[tokio::test]
async fn what_does_not_appear_is_named() {
    let waited = wait_for(Duration::ZERO, "it", || None::<()>).await;
    let text = waited.unwrap_err().to_string();
    assert_eq!(text, "it did not appear within 0 s");
}

#[test]
fn network_devices_are_told_by_their_ids() {
    let sys = tempfile::tempdir().unwrap();
    assert!(!has_network_device(sys.path()), "there is no bus");
    let device = |name: &str, vendor: &str, device: &str| {
        let folder = sys.path().join("bus/pci/devices").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("vendor"), format!("{vendor}\n")).unwrap();
        std::fs::write(folder.join("device"), format!("{device}\n")).unwrap();
    };
    device("0000:00:01.0", "0x1af4", "0x1053");
    device("0000:00:02.0", "0x8086", "0x1041");
    assert!(!has_network_device(sys.path()));
    device("0000:01:01.0", "0x1af4", "0x1041");
    assert!(has_network_device(sys.path()));
}
