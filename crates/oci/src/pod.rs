//! Which containers of container managers share a machine: pods, as annotations tell of them.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use virtcontainers_types::SandboxId;

use crate::{Error, ErrorKind};

/// What a container is to its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodRole {
    /// It is a sandbox of its own, which others may join.
    Sandbox,
    /// It joins a sandbox that is there.
    Member {
        /// The sandbox, which has its first container's id, as the annotation says.
        sandbox: SandboxId,
        /// A process that stands for the sandbox, whose namespaces the container is to join.
        process: Option<u32>,
    },
}

/// How one container manager tells of pods.
struct Family {
    role: &'static str,
    sandbox_word: &'static str,
    sandbox_id: &'static str,
}

const MEMBER_WORD: &str = "container";

/// containerd; CRI-O, whose annotations Podman uses for all but the first container of a pod; the
/// shim for Docker.
const FAMILIES: [Family; 3] = [
    Family {
        role: "io.kubernetes.cri.container-type",
        sandbox_word: "sandbox",
        sandbox_id: "io.kubernetes.cri.sandbox-id",
    },
    Family {
        role: "io.kubernetes.cri-o.ContainerType",
        sandbox_word: "sandbox",
        sandbox_id: "io.kubernetes.cri-o.SandboxID",
    },
    Family {
        role: "io.kubernetes.docker.type",
        sandbox_word: "podsandbox",
        sandbox_id: "io.kubernetes.sandbox.id",
    },
];

/// What the annotations of `spec` make of the container; a sandbox when they say nothing.
///
/// Errors: `Invalid` for a role that is unknown, and for a member without the id of a sandbox.
pub fn pod_role(spec: &Spec) -> Result<PodRole, Error> {
    let Some((family, word)) = told_role(spec) else {
        return Ok(PodRole::Sandbox);
    };
    if word == family.sandbox_word {
        return Ok(PodRole::Sandbox);
    }
    if word != MEMBER_WORD {
        return Err(invalid(format!(
            "annotation {} is {word:?}: it may be {:?} or {MEMBER_WORD:?}",
            family.role, family.sandbox_word
        )));
    }
    let ids = FAMILIES.iter().map(|family| family.sandbox_id);
    let Some((name, id)) = ids
        .filter_map(|name| Some((name, annotation(spec, name)?)))
        .next()
    else {
        return Err(invalid(format!(
            "annotation {} says that the container joins a sandbox, and none says which: add {}",
            family.role, family.sandbox_id
        )));
    };
    let sandbox = SandboxId::new(id).map_err(|error| {
        invalid(format!("annotation {name} cannot be a sandbox's id")).because(error)
    })?;
    Ok(PodRole::Member {
        sandbox,
        process: foreign_process(spec),
    })
}

/// Whether annotations say that this is the container that holds a pod's namespaces.
pub fn is_pod_sandbox(spec: &Spec) -> bool {
    told_role(spec).is_some_and(|(family, word)| word == family.sandbox_word)
}

fn told_role(spec: &Spec) -> Option<(&'static Family, &str)> {
    let told = FAMILIES.iter();
    told.filter_map(|family| Some((family, annotation(spec, family.role)?)))
        .next()
}

fn annotation<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    let all = spec.annotations().as_ref()?;
    all.get(name).map(String::as_str)
}

/// The process whose namespaces are named, as in `/proc/1199/ns/net`.
fn foreign_process(spec: &Spec) -> Option<u32> {
    use LinuxNamespaceType::{Ipc, Network, Pid, Uts};
    let namespaces = spec.linux().as_ref()?.namespaces().as_deref()?;
    [Network, Ipc, Uts, Pid].into_iter().find_map(|kind| {
        let named = namespaces.iter().find(|one| one.typ() == kind)?;
        process_of(named.path().as_deref()?)
    })
}

fn process_of(namespace: &Path) -> Option<u32> {
    let (pid, rest) = namespace
        .to_str()?
        .strip_prefix("/proc/")?
        .split_once('/')?;
    rest.starts_with("ns/").then(|| pid.parse().ok())?
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(annotations: &[(&str, &str)], namespaces: serde_json::Value) -> Spec {
        let annotations: serde_json::Map<_, _> = annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        serde_json::from_value(json!({
            "ociVersion": "1.2.0",
            "annotations": annotations,
            "linux": {"namespaces": namespaces},
        }))
        .unwrap()
    }

    fn role(annotations: &[(&str, &str)]) -> Result<PodRole, Error> {
        pod_role(&spec(annotations, json!([])))
    }

    fn member(id: &str) -> PodRole {
        PodRole::Member {
            sandbox: SandboxId::new(id).unwrap(),
            process: None,
        }
    }

    #[test]
    fn every_manager_is_understood() {
        let cri = "io.kubernetes.cri.container-type";
        let crio = "io.kubernetes.cri-o.ContainerType";
        let docker = "io.kubernetes.docker.type";
        for annotations in [
            &[][..],
            &[("io.kubernetes.cri-o.Created", "2026-01-01")],
            &[(cri, "sandbox"), ("io.kubernetes.cri.sandbox-id", "s")],
            &[(crio, "sandbox")],
            &[(docker, "podsandbox")],
        ] {
            assert_eq!(
                role(annotations).unwrap(),
                PodRole::Sandbox,
                "{annotations:?}"
            );
        }
        for (name, id) in [
            (cri, "io.kubernetes.cri.sandbox-id"),
            (crio, "io.kubernetes.cri-o.SandboxID"),
            (docker, "io.kubernetes.sandbox.id"),
        ] {
            let got = role(&[(name, "container"), (id, "pod-1")]);
            assert_eq!(got.unwrap(), member("pod-1"), "{name}");
        }
    }

    #[test]
    fn only_a_word_of_a_manager_makes_a_pod_of_a_sandbox() {
        let told = |annotations: &[(&str, &str)]| is_pod_sandbox(&spec(annotations, json!([])));
        assert!(told(&[("io.kubernetes.cri.container-type", "sandbox")]));
        assert!(!told(&[("io.kubernetes.cri.container-type", "container")]));
        assert!(!told(&[]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_words_that_can() {
        let rows = [
            (
                &[("io.kubernetes.docker.type", "sandbox")][..],
                "\"podsandbox\" or \"container\"",
            ),
            (
                &[("io.kubernetes.cri.container-type", "pod")],
                "io.kubernetes.cri.container-type is \"pod\"",
            ),
            (
                &[("io.kubernetes.cri-o.ContainerType", "container")],
                "add io.kubernetes.cri-o.SandboxID",
            ),
            (
                &[
                    ("io.kubernetes.cri-o.ContainerType", "container"),
                    ("io.kubernetes.cri-o.SandboxID", "../x"),
                ],
                "io.kubernetes.cri-o.SandboxID",
            ),
        ];
        for (annotations, part) in rows {
            let error = role(annotations).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn the_process_that_holds_the_namespaces_is_found() {
        let annotations = [
            ("io.kubernetes.cri-o.ContainerType", "container"),
            ("io.kubernetes.cri-o.SandboxID", "infra"),
        ];
        let rows = [
            (
                json!([{"type": "network", "path": "/proc/1199/ns/net"}]),
                Some(1199),
            ),
            (
                json!([{"type": "pid"}, {"type": "uts", "path": "/proc/7/ns/uts"}]),
                Some(7),
            ),
            (json!([{"type": "network", "path": "/run/netns/a"}]), None),
            (
                json!([{"type": "network", "path": "/proc/self/ns/net"}]),
                None,
            ),
            (json!([{"type": "network"}]), None),
        ];
        for (namespaces, expected) in rows {
            let role = pod_role(&spec(&annotations, namespaces.clone())).unwrap();
            let PodRole::Member { process, .. } = role else {
                panic!("a member");
            };
            assert_eq!(process, expected, "{namespaces}");
        }
    }
}
