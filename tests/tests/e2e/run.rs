//! `vc run`: the command's answer, status and surroundings.

use anyhow::Result;
use virtcontainers_tests::Place;

#[test]
fn a_command_answers_from_the_guest_and_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let run = place
        .run(&place.id("uname"), [], ["uname", "-r"])
        .finish()?
        .expect(0)?;
    assert!(!run.text().trim().is_empty());
    assert_ne!(run.text().trim(), host.trim(), "that is the host's kernel");
    assert_eq!(run.stderr, "");
    place.assert_clean()
}

#[test]
fn the_exit_status_is_the_commands() -> Result<()> {
    let place = Place::new()?;
    place
        .run(&place.id("status"), [], ["sh", "-c", "exit 42"])
        .finish()?
        .expect(42)?;
    place.assert_clean()
}

#[test]
fn a_command_that_does_not_exist_is_127_and_one_that_is_not_executable_126() -> Result<()> {
    let place = Place::new()?;
    std::fs::write(place.rootfs().join("data"), "not a program")?;
    let missing = place
        .run(&place.id("missing"), [], ["/nosuch"])
        .finish()?
        .expect(127)?;
    assert!(missing.stderr.contains("/nosuch"), "{}", missing.stderr);
    assert_eq!(missing.text(), "");
    place
        .run(&place.id("data"), [], ["/data"])
        .finish()?
        .expect(126)?;
    place.assert_clean()
}

#[test]
fn a_signal_that_ends_the_command_is_128_and_its_number() -> Result<()> {
    let place = Place::new()?;
    let command = ["sh", "-c", "sh -c 'kill -KILL $$'; exit $?"];
    place
        .run(&place.id("killed"), [], command)
        .finish()?
        .expect(137)?;
    place.assert_clean()
}

#[test]
fn the_command_gets_what_the_options_say() -> Result<()> {
    let place = Place::new()?;
    let options = [
        "--env",
        "COLOUR=blue",
        "--cwd",
        "/tmp",
        "--user",
        "user",
        "--hostname",
        "here",
    ];
    let script = "echo $COLOUR; pwd; id -u; hostname; nproc";
    let run = place
        .run(&place.id("options"), options, ["sh", "-c", script])
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "blue\n/tmp\n1000\nhere\n1\n");
    place.assert_clean()
}

#[test]
fn memory_and_cpus_are_the_machines() -> Result<()> {
    let place = Place::new()?;
    let script = "nproc; sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo";
    let options = ["--memory", "384M", "--cpus", "2"];
    let run = place
        .run(&place.id("size"), options, ["sh", "-c", script])
        .finish()?
        .expect(0)?;
    let text = run.text();
    let (cpus, memory) = text.trim().split_once('\n').unwrap_or_default();
    assert_eq!(cpus, "2");
    let memory: u64 = memory.parse()?;
    assert!((300_000..384 * 1024).contains(&memory), "{memory}");
    place.assert_clean()
}

#[test]
fn the_smallest_machine_boots() -> Result<()> {
    let place = Place::new()?;
    place
        .run(&place.id("small"), ["--memory", "128"], ["true"])
        .finish()?
        .expect(0)?;
    place.assert_clean()
}

#[test]
fn details_are_logged_when_the_environment_asks() -> Result<()> {
    let place = Place::new()?;
    let run = place.run(&place.id("log"), ["--log-format", "json"], ["true"]);
    let run = run.env("RUST_LOG", "debug").finish()?.expect(0)?;
    let lines: Vec<serde_json::Value> = run
        .stderr
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert!(
        lines.iter().any(|line| line["level"] == "debug"),
        "{}",
        run.stderr
    );
    place.assert_clean()
}

#[test]
fn volumes_are_shared_and_read_only_ones_are_read_only() -> Result<()> {
    let place = Place::new()?;
    for name in ["rw", "ro"] {
        std::fs::create_dir(place.path(name))?;
        std::fs::write(place.path(name).join("file"), name)?;
    }
    let rw = format!("{}:/rw", place.path("rw").display());
    let ro = format!("{}:/ro:ro", place.path("ro").display());
    let file = format!("{}:/etc/one:ro", place.path("ro").join("file").display());
    let script = "cat /rw/file /ro/file /etc/one; echo new > /rw/new; \
                  touch /ro/new 2>/dev/null && echo written; true";
    let options = ["--volume", &rw, "--volume", &ro, "--volume", &file];
    let run = place
        .run(&place.id("volumes"), options, ["sh", "-c", script])
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "rwroro");
    assert_eq!(
        std::fs::read_to_string(place.path("rw").join("new"))?,
        "new\n"
    );
    assert!(!place.path("ro").join("new").exists());
    place.assert_clean()
}

#[test]
fn a_bundle_runs_by_a_relative_path_too() -> Result<()> {
    let place = Place::new()?;
    let bundle = place.path("bundle");
    std::fs::create_dir(&bundle)?;
    std::os::unix::fs::symlink(place.rootfs(), bundle.join("rootfs"))?;
    std::fs::write(
        bundle.join("config.json"),
        r#"{"ociVersion":"1.2.0","root":{"path":"rootfs","readonly":true},"hostname":"bundled",
            "process":{"args":["sh","-c","hostname; id -u; touch /x || echo read-only"],"cwd":"/",
                "env":["PATH=/bin"],"user":{"uid":7,"gid":7}},
            "mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
            "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"uts"},{"type":"ipc"},
                {"type":"network"}]}}"#,
    )?;
    let id = place.id("bundle");
    let run = place
        .vc(["run", "--bundle", "bundle", &id])
        .current_dir(&place.path("."));
    let run = run.finish()?.expect(0)?;
    assert_eq!(run.text(), "bundled\n7\nread-only\n");
    place.assert_clean()
}

#[test]
fn ten_runs_give_ten_right_answers() -> Result<()> {
    let place = Place::new()?;
    for number in 0..10 {
        let script = format!("echo {number}; exit {number}");
        let id = place.id(&format!("run{number}"));
        let run = place
            .run(&id, [], ["sh", "-c", &script])
            .finish()?
            .expect(number)?;
        assert_eq!(run.text(), format!("{number}\n"));
    }
    place.assert_clean()
}

#[test]
fn the_phases_of_a_start_are_shown_when_asked_for() -> Result<()> {
    let place = Place::new()?;
    let run = place
        .run(&place.id("phases"), ["-v"], ["true"])
        .finish()?
        .expect(0)?;
    for phase in [
        "supervisor",
        "share",
        "launch",
        "guest",
        "sandbox",
        "containers",
        "start",
    ] {
        assert!(
            run.stderr.contains(&format!("phase={phase}")),
            "{phase}: {}",
            run.stderr
        );
    }
    place.assert_clean()
}

#[test]
fn an_agent_whose_first_call_is_lost_is_found_all_the_same() -> Result<()> {
    let place = Place::new()?;
    // Later words win: the guest does not call.
    let silent = ["--kernel-params", "agent.announce_vport=0"];
    let run = place
        .run(&place.id("lost"), silent, ["echo", "found"])
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "found\n");
    place.assert_clean()
}

#[test]
fn an_agent_that_does_not_call_is_asked() -> Result<()> {
    let place = Place::new()?;
    let configuration = place.path("configuration.toml");
    std::fs::write(&configuration, "[agent.kata]\nstart = \"polled\"\n")?;
    let run = place.run(&place.id("polled"), [], ["echo", "asked"]);
    let run = run.env("VC_CONFIG", configuration).finish()?.expect(0)?;
    assert_eq!(run.text(), "asked\n");
    place.assert_clean()
}
