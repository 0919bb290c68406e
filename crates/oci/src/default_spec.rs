//! The specification that a new bundle begins with.

use std::path::Path;

use oci_spec::runtime::{
    LinuxDeviceCgroupBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResourcesBuilder,
    Spec,
};

use crate::command::built;
use crate::{CommandLine, container_spec};

/// A specification that runs as it is once there is a root file system with a shell in the folder
/// `rootfs` beside it: `sh` on a terminal, a read-only root, a network of its own, host name `vc`.
pub fn default_spec() -> Spec {
    let command = CommandLine {
        args: vec!["sh".to_owned()],
        terminal: true,
        hostname: Some("vc".to_owned()),
        read_only: true,
        ..CommandLine::default()
    };
    let mut spec = container_spec(&command, Path::new("rootfs"), &[]);
    if let Some(linux) = spec.linux_mut() {
        let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
        let namespaces = linux.namespaces_mut().get_or_insert_default();
        namespaces.push(built(network.build()));
        let no_device = LinuxDeviceCgroupBuilder::default()
            .allow(false)
            .access("rwm");
        let limits = LinuxResourcesBuilder::default().devices(vec![built(no_device.build())]);
        linux.set_resources(Some(built(limits.build())));
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, PodRole, check, pod_role};

    #[test]
    fn a_new_bundle_is_a_good_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rootfs")).unwrap();
        let text = serde_json::to_string_pretty(&default_spec()).unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let spec = Bundle::load(folder.path()).unwrap().spec;
        assert_eq!(check(&spec).unwrap(), []);
        assert_eq!(pod_role(&spec).unwrap(), PodRole::Sandbox);
        assert_eq!(spec.hostname().as_deref(), Some("vc"));
        let root = spec.root().clone().unwrap();
        assert_eq!(
            (root.path().as_path(), root.readonly()),
            (Path::new("rootfs"), Some(true))
        );
        let process = spec.process().clone().unwrap();
        assert_eq!(process.terminal(), Some(true));
        assert_eq!(process.args().clone().unwrap(), ["sh"]);
    }
}
