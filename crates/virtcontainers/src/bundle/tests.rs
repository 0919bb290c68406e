//! Bundles to configurations: what is taken from where.

use std::path::PathBuf;

use serde_json::{Value, json};
use virtcontainers_types::{GuestRoot, Mebibytes, NetworkConfig, NetworkModel};

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
        let namespaces = &mut document["linux"]["namespaces"];
        if namespaces.is_null() {
            *namespaces = json!([{"type": "network"}]);
        }
        std::fs::write(self.path("config.json"), document.to_string()).unwrap();
        Bundle::load(&self.path("")).unwrap()
    }

    fn sandbox(&self, part: Value) -> Result<SandboxConfig, Error> {
        self.configured(&self.config(), part)
    }

    fn configured(&self, config: &Config, part: Value) -> Result<SandboxConfig, Error> {
        let id = ContainerId::new("c1").unwrap();
        sandbox_of_bundle(config, self.bundle(part), id, false)
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
        ),
        (json!([{"type": "network"}]), None),
        (json!([{"type": "network", "path": ""}]), None),
    ];
    for (namespaces, path) in rows {
        let sandbox = place
            .sandbox(json!({"linux": {"namespaces": namespaces}}))
            .unwrap();
        let expected = NetworkConfig {
            namespace: path.map(PathBuf::from),
            ..NetworkConfig::default()
        };
        assert_eq!(sandbox.network, expected, "{namespaces}");
    }
}

#[test]
fn the_hosts_network_is_refused_unless_machines_may_have_none() {
    let place = Place::new();
    let hosts = || json!({"linux": {"namespaces": [{"type": "pid"}]}});
    let error = place.sandbox(hosts()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("host's network"), "{error}");
    let mut config = place.config();
    config.network.model = NetworkModel::None;
    config.network.disable_new_netns = true;
    let network = place.configured(&config, hosts()).unwrap().network;
    assert!(network.disabled);
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

fn namespace(path: &str) -> Value {
    json!({"namespaces": [{"type": "network", "path": path}]})
}

#[test]
fn the_network_is_connected_as_configured() {
    let place = Place::new();
    let mut config = place.config();
    config.network.model = NetworkModel::Bridged;
    config.network.required = true;
    let network = |path| {
        let part = json!({"linux": namespace(path)});
        place.configured(&config, part).unwrap().network
    };
    let given = network("/run/netns/a");
    assert_eq!(given.model, NetworkModel::Bridged);
    assert!(
        given.required,
        "a namespace was given, and an interface is asked for"
    );
    assert!(
        !network("").required,
        "nothing was promised to one that we make"
    );
}

#[test]
fn a_namespace_that_is_given_is_used_where_none_is_made() {
    let place = Place::new();
    let mut config = place.config();
    config.network.model = NetworkModel::None;
    config.network.disable_new_netns = true;
    for (path, disabled) in [("", true), ("/run/netns/a", false)] {
        let part = json!({"linux": namespace(path)});
        let network = place.configured(&config, part).unwrap().network;
        assert_eq!(network.disabled, disabled, "{path}");
        assert_eq!(network.namespace.is_some(), !disabled, "{path}");
    }
}

#[test]
fn dockers_hook_is_a_promise_where_the_container_has_an_address() {
    let place = Place::new();
    let docker =
        json!({"path": "/proc/7/exe", "args": ["libnetwork-setkey", "-exec-root=/x", "c"]});
    let other = json!({"path": "/bin/true", "args": ["true"]});
    let file = place.path("hosts");
    let mounts = json!([{"destination": "/etc/hosts", "type": "bind", "source": file}]);
    let rows = [
        ("prestart", &docker, Some("172.17.0.2 h"), true),
        ("createRuntime", &docker, Some("172.17.0.2 h"), true),
        ("prestart", &docker, None, true),
        ("prestart", &docker, Some("127.0.0.1 localhost"), false),
        ("poststop", &docker, Some("172.17.0.2 h"), false),
        ("prestart", &other, Some("172.17.0.2 h"), false),
    ];
    for (list, hook, hosts, required) in rows {
        let mut part = json!({"linux": namespace(""), "hooks": {list: [hook]}});
        if let Some(hosts) = hosts {
            std::fs::write(&file, hosts).unwrap();
            part["mounts"] = mounts.clone();
        }
        let network = place.sandbox(part).unwrap().network;
        assert_eq!(network.required, required, "{list} {hook} {hosts:?}");
    }
}

#[test]
fn the_guest_resolves_names_as_the_container_does() {
    let place = Place::new();
    let bind = |name: &str| json!({"destination": "/etc/resolv.conf", "source": place.path(name), "options": ["rbind", "ro"]});
    let dns = |mounts: &[Value]| {
        let part = json!({"linux": namespace(""), "mounts": mounts});
        place.sandbox(part).map(|sandbox| sandbox.network.dns)
    };
    std::fs::write(place.path("first"), "nameserver 10.0.0.1\n").unwrap();
    std::fs::write(place.path("last"), "# generated\nnameserver 10.0.0.2\n").unwrap();
    assert_eq!(
        dns(&[bind("first"), bind("last")]).unwrap(),
        ["nameserver 10.0.0.2"]
    );
    assert!(dns(&[]).unwrap().is_empty());
    std::fs::write(place.path("large"), " ".repeat(64 * 1024 + 1)).unwrap();
    for (name, kind) in [
        ("missing", ErrorKind::NotFound),
        ("rootfs", ErrorKind::Invalid),
        ("large", ErrorKind::Invalid),
    ] {
        let error = dns(&[bind(name)]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("/etc/resolv.conf"), "{error}");
    }
}
