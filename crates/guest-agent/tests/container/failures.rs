//! What fails leaves nothing, and the next one works.

use std::collections::BTreeSet;

use virtcontainers_agent_proto::oci;

use crate::harness::Agent;
use crate::spec::{command, sh};
use crate::{mount, refusal, run};

/// What a container could leave: mounts, cgroups, files.
fn traces(agent: &Agent) -> (BTreeSet<String>, BTreeSet<String>) {
    let run_dir = agent.run_dir();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let files = std::fs::read_dir(&run_dir).unwrap();
    (
        mounts.lines().map(str::to_owned).collect(),
        files
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect(),
    )
}

#[tokio::test]
async fn each_failed_step_is_undone() {
    let agent = Agent::start().await;
    run(&agent, "true", |_| {}).await;
    let before = traces(&agent);
    type Change = fn(&mut oci::Spec);
    let changes: [(&str, Change); 7] = [
        ("/no/root", |spec| {
            spec.Root.as_mut().unwrap().Path = "/no/root".to_owned()
        }),
        ("/no/volume", |spec| {
            spec.Mounts
                .push(mount("bind", "/no/volume", "/v", &["bind"]))
        }),
        ("ghost", |spec| {
            let process = spec.Process.as_mut().unwrap();
            process.User.as_mut().unwrap().Username = "ghost".to_owned();
        }),
        ("memory.max", |spec| {
            // No number of bytes that the kernel takes, or no controller.
            let linux = spec.Linux.as_mut().unwrap();
            linux.CgroupsPath = "/a/b/c".to_owned();
            linux.Resources.as_mut().unwrap().Memory = Some(oci::LinuxMemory {
                Limit: 1,
                ..Default::default()
            })
            .into();
            linux.Resources.as_mut().unwrap().BlockIO = Some(oci::LinuxBlockIO {
                Weight: 9,
                ..Default::default()
            })
            .into();
            linux.Resources.as_mut().unwrap().BlockIO = None.into();
            linux.Resources.as_mut().unwrap().CPU = Some(oci::LinuxCPU {
                Cpus: "99999".to_owned(),
                ..Default::default()
            })
            .into();
        }),
        ("createContainer hook", |spec| {
            let hook = oci::Hook {
                Path: "/bin/false".to_owned(),
                ..Default::default()
            };
            spec.Hooks = Some(oci::Hooks {
                CreateContainer: vec![hook],
                ..Default::default()
            })
            .into();
        }),
        ("/dev/x", |spec| {
            spec.Mounts.push(mount("tmpfs", "x", "/dev/x", &[]));
            spec.Linux.as_mut().unwrap().Devices = vec![oci::LinuxDevice {
                Path: "/dev/x".to_owned(),
                Type: "c".to_owned(),
                Major: 1,
                Minor: 3,
                ..Default::default()
            }];
        }),
        ("/proc/1/ns/nothing", |spec| {
            spec.Linux
                .as_mut()
                .unwrap()
                .Namespaces
                .push(oci::LinuxNamespace {
                    Type: "network".to_owned(),
                    Path: "/proc/1/ns/nothing".to_owned(),
                    ..Default::default()
                });
        }),
    ];
    for (word, change) in changes {
        let (_, message) = refusal(&agent, change).await;
        let known = message.contains(word) || word == "memory.max" && message.contains("cpuset");
        assert!(known, "{word}: {message}");
        assert_eq!(traces(&agent), before, "{word}");
        // The same id is free, and its cgroup is not there.
        let (output, _) = run(&agent, "echo works", |_| {}).await;
        assert_eq!(output, "works\n", "{word}");
    }
}

#[tokio::test]
async fn a_script_without_an_interpreter_and_a_folder_cannot_be_executed() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            sh(
                "printf 'no program' > /tmp/text; printf '#!/none\\n' > /tmp/script; \
        chmod 755 /tmp/text /tmp/script; echo made; cat",
            ),
        )
        .await;
    agent.until("c1", "", "made").await;
    for (number, (program, status)) in [
        ("/tmp/text", 126),
        ("/tmp/script", 127),
        ("/tmp", 126),
        ("/dev/null", 126),
        ("/tmp/text/below", 127),
        ("nosuch", 127),
    ]
    .into_iter()
    .enumerate()
    {
        let exec = format!("e{number}");
        agent.exec("c1", &exec, command(&[program])).await.unwrap();
        let errors = agent.errors("c1", &exec).await;
        assert_eq!(agent.wait("c1", &exec).await.unwrap(), status, "{program}");
        assert!(
            errors.contains(program) && errors.lines().count() == 1,
            "{errors}"
        );
    }
}

#[tokio::test]
async fn many_containers_at_once() {
    let agent = Agent::start().await;
    let all = (0..12).map(|number| {
        let agent = &agent;
        async move {
            let id = format!("many{number}");
            agent
                .run(&id, sh(&format!("echo {number}; exit {number}")))
                .await;
            assert_eq!(agent.output(&id, "").await, format!("{number}\n"));
            assert_eq!(agent.wait(&id, "").await.unwrap(), number);
            agent.remove(&id).await.unwrap();
        }
    });
    futures_util::future::join_all(all).await;
}
