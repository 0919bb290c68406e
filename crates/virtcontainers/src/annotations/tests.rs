//! From annotations to the configuration of a sandbox.

use std::path::PathBuf;

use super::*;
use crate::sandbox_config;
use virtcontainers_types::{AgentStart, ContainerId, NetworkModel, RateLimit, SandboxConfig};

/// A guest of text files, and a configuration that allows every annotation for it.
struct Place {
    folder: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "vmlinux",
            "initrd",
            "other-kernel",
            "other-image",
            "hypervisor",
        ] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let mut config = Config::default();
        config.hypervisor.qemu.kernel = folder.path().join("vmlinux");
        config.hypervisor.qemu.initrd = folder.path().join("initrd");
        config.runtime.enable_annotations = vec!["*".to_owned()];
        config.runtime.annotation_paths = vec![format!("{}/*", folder.path().display())];
        Self { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn annotations(&self, rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        let value = |value: &str| value.replace("@", &format!("{}/", self.folder.path().display()));
        rows.iter()
            .map(|(name, text)| {
                let group = match *name {
                    "internetworking_model" | "disable_new_netns" => "runtime",
                    _ => "hypervisor",
                };
                let key = format!("io.katacontainers.config.{group}.{name}");
                (key, value(text))
            })
            .collect()
    }

    fn sandbox(&self, rows: &[(&str, &str)]) -> Result<SandboxConfig, Error> {
        let mut spec = virtcontainers_oci::container_spec(
            &virtcontainers_oci::CommandLine::default(),
            "/".as_ref(),
            &[],
        );
        spec.set_annotations(Some(self.annotations(rows).into_iter().collect()));
        let container = ContainerConfig {
            id: ContainerId::new("c1").unwrap(),
            rootfs: PathBuf::from("/").into(),
            bundle: None,
            cgroup: None,
            spec,
        };
        sandbox_config(&self.config, container)
    }
}

fn told(error: &Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn without_annotations_the_configuration_holds() {
    let place = Place::new();
    let sandbox = place.sandbox(&[]).unwrap();
    assert_eq!(sandbox.boot.kernel, place.path("vmlinux"));
    assert_eq!(sandbox.boot.root, GuestRoot::Initrd(place.path("initrd")));
    assert!(sandbox.annotations.is_empty());
}

#[test]
fn annotations_win_and_stay_with_the_sandbox() {
    let place = Place::new();
    let rows = [
        ("kernel", "@other-kernel"),
        ("image", "@other-image"),
        ("default_memory", "512"),
        ("default_vcpus", "3"),
        ("kernel_params", "a=b quiet"),
    ];
    let sandbox = place.sandbox(&rows).unwrap();
    assert_eq!(sandbox.boot.kernel, place.path("other-kernel"));
    assert_eq!(
        sandbox.boot.root,
        GuestRoot::Image(place.path("other-image")),
        "the configured initrd has given way"
    );
    assert_eq!(sandbox.memory, Mebibytes(512));
    assert_eq!(sandbox.vcpus.count(), 3);
    assert_eq!(sandbox.boot.kernel_params, ["a=b", "quiet"]);
    assert_eq!(sandbox.annotations, place.annotations(&rows));
}

#[test]
fn a_refusal_says_which_line_to_add() {
    let mut place = Place::new();
    place.config.runtime.enable_annotations = vec!["initrd".to_owned()];
    let error = place.sandbox(&[("kernel", "@other-kernel")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let message = told(&error);
    assert!(
        message.contains(r#"enable_annotations = ["initrd", "kernel"]"#),
        "{message}"
    );
}

/// SHA-512 of the text `other-kernel`, by sha512sum(1).
const DIGEST: &str = "d97ea5f61ff8a3722c62ccbebfd4b5736542f4c63df8da804571d621c909ad1d423157b7d7dc7eddb3468dd9a9bef419997594b84483d4871ca0729e1c72a701";

#[test]
fn a_file_with_a_digest_boots_from_a_copy() {
    let place = Place::new();
    let copies = place.path("copies");
    let guest = |digest: &str| {
        let rows = [("kernel", "@other-kernel"), ("kernel_hash", digest)];
        guest(&place.config, &place.annotations(&rows), Some(&copies))
    };
    let kernel = guest(DIGEST).unwrap().boot.kernel;
    assert_eq!(kernel, copies.join(DIGEST));
    assert_eq!(std::fs::read(kernel).unwrap(), b"other-kernel");
    let error = guest(&"0".repeat(128)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains(DIGEST), "{error}");
}

#[test]
fn what_lies_beside_the_original_counts_for_its_copy() {
    let place = Place::new();
    std::fs::write(place.path("manifest.json"), r#"{"announces": true}"#).unwrap();
    std::fs::copy(place.path("other-kernel"), place.path("other-initrd")).unwrap();
    let rows = [("initrd", "@other-initrd"), ("initrd_hash", DIGEST)];
    let copies = place.path("copies");
    let guest = guest(&place.config, &place.annotations(&rows), Some(&copies)).unwrap();
    assert_eq!(guest.boot.root, GuestRoot::Initrd(copies.join(DIGEST)));
    assert_eq!(guest.assets.agent_start, AgentStart::Announces);
}

#[test]
fn another_hypervisor_is_the_sandboxes_own() {
    let place = Place::new();
    let sandbox = place.sandbox(&[("path", "@hypervisor")]).unwrap();
    let program = sandbox.boot.hypervisor.program;
    assert_eq!(program, Some(place.path("hypervisor")));
    let digest = "0".repeat(128);
    std::fs::write(place.path("hypervisor"), "program").unwrap();
    let rows = [("path", "@hypervisor"), ("hypervisor_hash", &digest[..])];
    assert_eq!(place.sandbox(&rows).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn firmware_is_refused_before_anything_happens() {
    let error = Place::new()
        .sandbox(&[("firmware", "@firmware")])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn the_network_by_annotation() {
    let mut place = Place::new();
    place.config.network.rate.inbound = ByteRate(5);
    let slow = place.config.network.rate;
    place.config.network.rates.insert("eth1".to_owned(), slow);
    let rows = [
        ("internetworking_model", "bridged"),
        ("disable_vhost_net", "true"),
        ("rx_rate_limiter_max_rate", "0"),
        ("tx_rate_limiter_max_rate", "80000"),
    ];
    let network = place.sandbox(&rows).unwrap().network;
    let limit = RateLimit {
        inbound: None,
        outbound: Some(10_000),
    };
    assert_eq!(network.model, NetworkModel::Bridged);
    assert!(!network.vhost);
    assert_eq!((network.rate, network.rates["eth1"]), (limit, limit));
}

#[test]
fn what_annotations_make_of_the_network_must_fit() {
    let mut place = Place::new();
    let alone = [("disable_new_netns", "true")];
    let error = place.sandbox(&alone).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(told(&error).contains("network.model"), "{}", told(&error));
    let whole = [alone[0], ("internetworking_model", "none")];
    assert!(place.sandbox(&whole).unwrap().network.disabled);
    place.config.network.required = true;
    let error = place.sandbox(&whole[1..]).unwrap_err();
    assert!(
        told(&error).contains("network.required"),
        "{}",
        told(&error)
    );
}
