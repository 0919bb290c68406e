//! Puts the guest's device numbers into a container's specification, which the host wrote without
//! knowing them.

use virtcontainers_agent_proto::agent::Device;
use virtcontainers_agent_proto::oci;

use super::{Block, find};
use crate::agent::Agent;
use crate::modules::BLOCK;
use crate::status::{Failure, Result};

/// Finds each device and patches its entry.
///
/// # Errors
/// INVALID_ARGUMENT for an incomplete device, an unknown type or a path that the specification
/// does not list; INTERNAL when the device does not appear.
pub(crate) async fn apply(agent: &Agent, devices: &[Device], spec: &mut oci::Spec) -> Result<()> {
    for device in devices {
        let address = if device.vm_path.is_empty() {
            &device.id
        } else {
            &device.vm_path
        };
        if device.container_path.is_empty() || address.is_empty() {
            return Err(Failure::invalid(
                "a device needs container_path and id or vm_path",
            ));
        }
        match device.type_.as_str() {
            "blk" | "mmioblk" | "scsi" | "nvdimm" => {
                agent.modules.load([BLOCK]).await?;
                let block = find(agent, &device.type_, address).await?;
                set_numbers(spec, &device.container_path, &block)?;
            }
            other => return Err(Failure::invalid(format!("no device type {other:?}"))),
        }
    }
    Ok(())
}

/// Rewrites the numbers of the entry at `path` and of the rules that named the host's, and allows
/// the device.
fn set_numbers(spec: &mut oci::Spec, path: &str, block: &Block) -> Result<()> {
    let (major, minor) = (i64::from(block.major), i64::from(block.minor));
    let linux = spec.Linux.mut_or_insert_default();
    let Some(entry) = linux.Devices.iter_mut().find(|device| device.Path == path) else {
        return Err(Failure::invalid(format!(
            "missing devices in OCI spec: none has the path {path:?}"
        )));
    };
    let host = (entry.Major, entry.Minor);
    "b".clone_into(&mut entry.Type);
    (entry.Major, entry.Minor) = (major, minor);
    let rules = &mut linux.Resources.mut_or_insert_default().Devices;
    for rule in rules
        .iter_mut()
        .filter(|rule| (rule.Major, rule.Minor) == host)
    {
        (rule.Major, rule.Minor) = (major, minor);
    }
    rules.push(oci::LinuxDeviceCgroup {
        Allow: true,
        Type: "b".to_owned(),
        Major: major,
        Minor: minor,
        Access: "rwm".to_owned(),
        ..Default::default()
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn numbers_of_the_host_are_replaced_in_entry_and_rules() {
        let mut spec = oci::Spec::new();
        let linux = spec.Linux.mut_or_insert_default();
        linux.Devices.push(oci::LinuxDevice {
            Path: "/dev/x".to_owned(),
            Major: 8,
            Minor: 3,
            ..Default::default()
        });
        linux
            .Resources
            .mut_or_insert_default()
            .Devices
            .push(oci::LinuxDeviceCgroup {
                Major: 8,
                Minor: 3,
                ..Default::default()
            });
        let block = Block {
            node: PathBuf::from("/dev/vda"),
            major: 254,
            minor: 0,
        };
        set_numbers(&mut spec, "/dev/x", &block).unwrap();
        let linux = spec.Linux.as_ref().unwrap();
        assert_eq!((linux.Devices[0].Major, linux.Devices[0].Minor), (254, 0));
        let rules = &linux.Resources.as_ref().unwrap().Devices;
        assert_eq!(rules.len(), 2);
        assert!(
            rules
                .iter()
                .all(|rule| (rule.Major, rule.Minor) == (254, 0))
        );
        assert!(rules[1].Allow);
        assert!(set_numbers(&mut spec, "/dev/y", &block).is_err());
    }
}
