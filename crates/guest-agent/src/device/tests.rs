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
