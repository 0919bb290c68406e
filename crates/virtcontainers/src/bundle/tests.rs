//! Bundles to configurations: what is taken from where.

use serde_json::{Value, json};
use virtcontainers_types::{GuestRoot, Mebibytes};

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in ["vmlinux", "initrd", "other-kernel", "other-initrd", "qemu"] {
            std::fs::write(place.path(name), name).unwrap();
        }
        std::fs::create_dir(place.path("rootfs")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.hypervisor.qemu.kernel = self.path("vmlinux");
        config.hypervisor.qemu.initrd = self.path("initrd");
        config
    }

    fn bundle(&self, part: Value) -> Bundle {
        let mut document = json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs"},
            "hostname": "h",
            "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        });
        let root = document.as_object_mut().unwrap();
        root.extend(part.as_object().unwrap().clone());
        std::fs::write(self.path("config.json"), document.to_string()).unwrap();
        Bundle::load(&self.path("")).unwrap()
    }

    fn sandbox(&self, part: Value) -> Result<SandboxConfig, Error> {
        let id = ContainerId::new("c1").unwrap();
        sandbox_of_bundle(&self.config(), self.bundle(part), id, false)
    }
}

#[test]
fn a_bundle_gives_its_name_its_cgroup_and_its_limits() {
    let place = Place::new();
    let sandbox = place
        .sandbox(json!({"linux": {
            "cgroupsPath": "/libpod/c1",
            "resources": {"memory": {"limit": 67_108_864}},
        }}))
        .unwrap();
    assert_eq!(sandbox.id.as_str(), "c1");
    assert_eq!(sandbox.hostname.as_deref(), Some("h"));
    assert_eq!(sandbox.memory, Mebibytes(Mebibytes::DEFAULT.0 + 64));
    assert_eq!(sandbox.boot.kernel, place.path("vmlinux"));
    let container = &sandbox.containers[0];
    assert_eq!(container.bundle, Some(place.path("")));
    let cgroup = container.cgroup.as_ref().map(ToString::to_string);
    assert_eq!(cgroup.as_deref(), Some("/libpod/c1"));
}

#[test]
fn the_network_is_the_namespace_of_the_specification() {
    let place = Place::new();
    let rows = [
        (
            json!([{"type": "network", "path": "/run/netns/a"}]),
            Some("/run/netns/a"),
            false,
        ),
        (json!([{"type": "network"}]), None, false),
        (json!([{"type": "network", "path": ""}]), None, false),
        (json!([{"type": "pid"}]), None, true),
    ];
    for (namespaces, path, disabled) in rows {
        let sandbox = place
            .sandbox(json!({"linux": {"namespaces": namespaces}}))
            .unwrap();
        let expected = NetworkConfig {
            namespace: path.map(PathBuf::from),
            disabled,
            ..NetworkConfig::default()
        };
        assert_eq!(sandbox.network, expected, "{namespaces}");
    }
}

#[test]
fn the_vm_object_wins_over_the_configuration() {
    let place = Place::new();
    let sandbox = place
        .sandbox(json!({
            "linux": {"resources": {"memory": {"limit": 67_108_864}}},
            "vm": {
                "hypervisor": {"path": place.path("qemu"), "parameters": ["-no-hpet"]},
                "kernel": {
                    "path": place.path("other-kernel"), "initrd": place.path("other-initrd"),
                    "parameters": ["a=b"],
                },
                "hwConfig": {"vcpus": 2, "memory": 536_870_912},
            },
        }))
        .unwrap();
    let boot = &sandbox.boot;
    assert_eq!(boot.kernel, place.path("other-kernel"));
    assert_eq!(boot.root, GuestRoot::Initrd(place.path("other-initrd")));
    assert_eq!(boot.kernel_params.last().map(String::as_str), Some("a=b"));
    assert_eq!(boot.hypervisor.program, Some(place.path("qemu")));
    assert_eq!(boot.hypervisor.arguments, ["-no-hpet"]);
    assert_eq!(sandbox.memory, Mebibytes(512), "a wish, not a limit");
    assert_eq!(sandbox.vcpus.count(), 2);
}

#[test]
fn an_image_of_the_vm_object_takes_the_place_of_the_initrd() {
    let place = Place::new();
    let image = place.path("other-initrd");
    let sandbox = place.sandbox(json!({"vm": {"image": {"path": image, "format": "raw"}}}));
    assert_eq!(sandbox.unwrap().boot.root, GuestRoot::Image(image));
}

#[test]
fn files_that_are_not_there_are_named_with_their_field() {
    let place = Place::new();
    let rows = [
        (
            json!({"kernel": {"path": "/nonexistent/k"}}),
            ErrorKind::NotFound,
            "vm.kernel.path",
        ),
        (
            json!({"hypervisor": {"path": place.path("rootfs")}}),
            ErrorKind::Invalid,
            "vm.hypervisor.path",
        ),
    ];
    for (vm, kind, part) in rows {
        let error = place.sandbox(json!({ "vm": vm })).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let place = Place::new();
    let rows = [
        (
            json!({"linux": {"namespaces": [{"type": "user"}]}}),
            ErrorKind::Unsupported,
        ),
        (
            json!({"linux": {"cgroupsPath": "../up"}}),
            ErrorKind::Invalid,
        ),
        (
            json!({"linux": {"cgroupsPath": "a.slice:b:c"}}),
            ErrorKind::Invalid,
        ),
    ];
    for (part, kind) in rows {
        assert_eq!(place.sandbox(part).unwrap_err().kind(), kind);
    }
}
