//! Capabilities, seccomp, limits, `no_new_privs`.

use virtcontainers_agent_proto::oci;

use crate::harness::Agent;
use crate::spec::sh;
use crate::{refusal, run, strings};

/// Fields of `/proc/self/status` whose names begin so, without the names.
async fn status(agent: &Agent, fields: &str, change: impl FnOnce(&mut oci::Spec)) -> Vec<String> {
    let script = format!("grep -E '^({fields}):' /proc/self/status");
    let (output, _) = run(agent, &script, change).await;
    output
        .lines()
        .filter_map(|line| Some(line.split_once(":\t")?.1.to_owned()))
        .collect()
}

#[tokio::test]
async fn capabilities_are_the_five_sets() {
    let agent = Agent::start().await;
    let sets = status(&agent, "Cap...", |spec| {
        let process = spec.Process.as_mut().unwrap();
        process.User.as_mut().unwrap().UID = 7;
        process.Capabilities = Some(oci::LinuxCapabilities {
            Bounding: strings(&["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]),
            Permitted: strings(&["CAP_KILL", "CAP_NET_RAW"]),
            Effective: strings(&["CAP_KILL"]),
            Inheritable: strings(&["CAP_KILL"]),
            Ambient: strings(&["CAP_KILL"]),
            ..Default::default()
        })
        .into();
    })
    .await;
    // Inherited, permitted, effective, bounding, ambient: what a program of another user has
    // after its exec comes from the ambient set.
    let kill = "0000000000000020";
    assert_eq!(sets, [kill, kill, kill, "0000000000002021", kill]);
}

#[tokio::test]
async fn without_capabilities_root_can_do_nothing() {
    let agent = Agent::start().await;
    let (output, _) = run(
        &agent,
        "hostname x || echo refused; grep CapEff /proc/self/status",
        |spec| {
            let process = spec.Process.as_mut().unwrap();
            process.Capabilities = Some(oci::LinuxCapabilities::new()).into();
        },
    )
    .await;
    assert!(
        output.contains("refused") && output.contains("0000000000000000"),
        "{output}"
    );
}

#[tokio::test]
async fn an_exec_without_capabilities_has_those_of_the_container() {
    let agent = Agent::start().await;
    agent
        .run("c1", sh("grep CapBnd /proc/self/status; cat"))
        .await;
    let own = agent.until("c1", "", "\n").await;
    let mut process = sh("grep CapBnd /proc/self/status");
    process.Capabilities = None.into();
    agent.exec("c1", "e1", process).await.unwrap();
    assert_eq!(agent.output("c1", "e1").await, own);
}

#[tokio::test]
async fn no_new_privs_and_oom_score() {
    let agent = Agent::start().await;
    let script = "grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj";
    let (output, _) = run(&agent, script, |spec| {
        let process = spec.Process.as_mut().unwrap();
        process.NoNewPrivileges = true;
        process.OOMScoreAdj = 300;
    })
    .await;
    assert_eq!(output, "NoNewPrivs:\t1\n300\n");
    let (output, _) = run(&agent, script, |_| {}).await;
    assert_eq!(output, "NoNewPrivs:\t0\n0\n");
}

#[tokio::test]
async fn rlimits() {
    let agent = Agent::start().await;
    let (output, _) = run(&agent, "ulimit -Sn; ulimit -Hn; ulimit -c", |spec| {
        let limit = |kind: &str, soft, hard| oci::POSIXRlimit {
            Type: kind.to_owned(),
            Soft: soft,
            Hard: hard,
            ..Default::default()
        };
        spec.Process.as_mut().unwrap().Rlimits =
            vec![limit("RLIMIT_NOFILE", 64, 128), limit("RLIMIT_CORE", 0, 0)];
    })
    .await;
    assert_eq!(output, "64\n128\n0\n");
}

fn profile(default: &str, rules: Vec<oci::LinuxSyscall>) -> oci::LinuxSeccomp {
    oci::LinuxSeccomp {
        DefaultAction: default.to_owned(),
        Architectures: strings(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        Syscalls: rules,
        ..Default::default()
    }
}

fn rule(names: &[&str], action: &str, number: Option<u32>) -> oci::LinuxSyscall {
    oci::LinuxSyscall {
        Names: strings(names),
        Action: action.to_owned(),
        ErrnoRet: number.map(oci::linux_syscall::ErrnoRet::Errnoret),
        ..Default::default()
    }
}

#[tokio::test]
async fn seccomp_denies_what_it_says_to_execs_too() {
    let agent = Agent::start().await;
    for no_new_privileges in [true, false] {
        let mut request = crate::spec::container("c1", sh("mkdir /tmp/a; mkdir /tmp/b 2>&1; cat"));
        let spec = request.OCI.as_mut().unwrap();
        spec.Process.as_mut().unwrap().NoNewPrivileges = no_new_privileges;
        let mut only = rule(&["umask"], "SCMP_ACT_ERRNO", Some(38));
        only.Args = vec![oci::LinuxSeccompArg {
            Index: 0,
            Value: 0o7,
            Op: "SCMP_CMP_EQ".to_owned(),
            ..Default::default()
        }];
        spec.Linux.as_mut().unwrap().Seccomp = Some(profile(
            "SCMP_ACT_ALLOW",
            vec![
                rule(
                    &["mkdir", "mkdirat", "no_such_call"],
                    "SCMP_ACT_ERRNO",
                    Some(30),
                ),
                only,
            ],
        ))
        .into();
        agent
            .api
            .create_container(crate::ctx(), &request)
            .await
            .unwrap();
        agent.start_container("c1").await.unwrap();
        agent
            .until(
                "c1",
                "",
                "can't create directory '/tmp/b': Read-only file system",
            )
            .await;
        let script = "mkdir /tmp/c 2>&1; grep Seccomp: /proc/self/status";
        agent.exec("c1", "e1", sh(script)).await.unwrap();
        let output = agent.output("c1", "e1").await;
        assert!(output.contains("Read-only file system"), "{output}");
        assert!(output.contains("Seccomp:\t2"), "{output}");
        agent.remove("c1").await.unwrap();
    }
}

#[tokio::test]
async fn seccomp_kills() {
    let agent = Agent::start().await;
    let (_, status) = run(&agent, "sync; echo survived", |spec| {
        let rules = vec![rule(&["sync"], "SCMP_ACT_KILL_PROCESS", None)];
        spec.Linux.as_mut().unwrap().Seccomp = Some(profile("SCMP_ACT_ALLOW", rules)).into();
        spec.Process.as_mut().unwrap().Args = strings(&["/bin/sync"]);
    })
    .await;
    assert_eq!(status, 128 + 31);
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let agent = Agent::start().await;
    type Change = fn(&mut oci::Spec);
    let changes: [(&str, Change); 12] = [
        ("CAP_FLY", |spec| {
            let process = spec.Process.as_mut().unwrap();
            process.Capabilities.as_mut().unwrap().Ambient = strings(&["CAP_FLY"]);
        }),
        ("RLIMIT_JOY", |spec| {
            let limit = oci::POSIXRlimit {
                Type: "RLIMIT_JOY".to_owned(),
                ..Default::default()
            };
            spec.Process.as_mut().unwrap().Rlimits = vec![limit];
        }),
        ("soft limit", |spec| {
            let limit = oci::POSIXRlimit {
                Type: "RLIMIT_NOFILE".to_owned(),
                Soft: 2,
                Hard: 1,
                ..Default::default()
            };
            spec.Process.as_mut().unwrap().Rlimits = vec![limit];
        }),
        ("linux.seccomp: \"\"", |spec| {
            spec.Linux.as_mut().unwrap().Seccomp = Some(profile("", vec![])).into();
        }),
        ("SCMP_ACT_DANCE", |spec| {
            let rules = vec![rule(&["read"], "SCMP_ACT_DANCE", None)];
            spec.Linux.as_mut().unwrap().Seccomp = Some(profile("SCMP_ACT_ALLOW", rules)).into();
        }),
        ("SCMP_ARCH_PDP11", |spec| {
            let mut profile = profile("SCMP_ACT_ALLOW", vec![]);
            profile.Architectures = strings(&["SCMP_ARCH_PDP11"]);
            spec.Linux.as_mut().unwrap().Seccomp = Some(profile).into();
        }),
        ("SECCOMP_FILTER_FLAG_X", |spec| {
            let mut profile = profile("SCMP_ACT_ALLOW", vec![]);
            profile.Flags = strings(&["SECCOMP_FILTER_FLAG_X"]);
            spec.Linux.as_mut().unwrap().Seccomp = Some(profile).into();
        }),
        ("no argument 7", |spec| {
            let mut rule = rule(&["read"], "SCMP_ACT_ERRNO", None);
            rule.Args = vec![oci::LinuxSeccompArg {
                Index: 7,
                Op: "SCMP_CMP_EQ".to_owned(),
                ..Default::default()
            }];
            spec.Linux.as_mut().unwrap().Seccomp =
                Some(profile("SCMP_ACT_ALLOW", vec![rule])).into();
        }),
        ("oomScoreAdj", |spec| {
            spec.Process.as_mut().unwrap().OOMScoreAdj = 1 << 40
        }),
        ("process.args", |spec| {
            spec.Process.as_mut().unwrap().Args.clear()
        }),
        ("process.env", |spec| {
            spec.Process
                .as_mut()
                .unwrap()
                .Env
                .push("nonsense".to_owned())
        }),
        ("selinux", |spec| {
            spec.Process.as_mut().unwrap().SelinuxLabel = "a:b:c".to_owned()
        }),
    ];
    for (word, change) in changes {
        let (code, message) = refusal(&agent, change).await;
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT, "{word}: {message}");
        assert!(
            message.to_lowercase().contains(&word.to_lowercase()),
            "{word}: {message}"
        );
    }
}
