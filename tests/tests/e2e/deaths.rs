//! Whatever dies, and when: an error within a second, and nothing left behind.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use virtcontainers_tests::inventory::works_in;
use virtcontainers_tests::program::Started;
use virtcontainers_tests::{Place, place};

use crate::detached::{Running, wait_for_end};

/// From a death to the caller's end. The promise is a second; the clean-up may share two busy
/// processors with other virtual machines.
const PROMPT: Duration = Duration::from_secs(4);

/// The program of a sandbox whose command line has this word.
fn find(place: &Place, word: &str) -> Result<Option<u32>> {
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let ours =
            works_in(&path, place.root()) || line.contains(&place.root().display().to_string());
        let program = line.split('\0').next().unwrap_or_default();
        if ours && program.contains(word) {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            return Ok(name.parse().ok());
        }
    }
    Ok(None)
}

pub(crate) fn kill(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no pid")?;
    Ok(pidfd_send_signal(
        pidfd_open(pid, PidfdFlags::empty())?,
        Signal::KILL,
    )?)
}

/// A container that has said that it runs.
fn talking(place: &Place, name: &str) -> Result<Started> {
    use std::io::Read as _;
    let mut run = place
        .run(
            &place.id(name),
            [],
            ["sh", "-c", "echo up; exec sleep 100000"],
        )
        .start()?;
    let mut stdout = run.take_stdout().context("no output")?;
    let mut said = [0; 3];
    stdout.read_exact(&mut said)?;
    assert_eq!(&said, b"up\n");
    Ok(run)
}

fn dies(word: &str, name: &str) -> Result<()> {
    let place = Place::new()?;
    let run = talking(&place, name)?;
    let victim = find(&place, word)?.with_context(|| format!("no {word} runs"))?;
    let since = Instant::now();
    kill(victim)?;
    let run = run.finish()?;
    assert!(since.elapsed() < PROMPT, "{:?}", since.elapsed());
    assert_eq!(run.status, 255, "{}", run.stderr);
    assert!(run.stderr.contains("lost"), "{}", run.stderr);
    place.assert_clean()
}

#[test]
fn qemu() -> Result<()> {
    dies("qemu-system", "qemu")
}

#[test]
fn the_file_system_daemon() -> Result<()> {
    dies("virtiofsd", "fsd")
}

#[test]
fn the_vsock_helper() -> Result<()> {
    if std::path::Path::new("/dev/vhost-vsock").exists() {
        return Ok(());
    }
    dies("vhost-device-vsock", "vsock")
}

#[test]
fn the_supervisor() -> Result<()> {
    let place = Place::new()?;
    let run = talking(&place, "supervisor")?;
    let id = place.id("supervisor");
    let state = place.vc(["state", &id]).finish()?.expect(0)?;
    let state: serde_json::Value = serde_json::from_slice(&state.stdout)?;
    let since = Instant::now();
    kill(u32::try_from(state["pid"].as_u64().context("no pid")?)?)?;
    let run = run.finish()?;
    assert!(since.elapsed() < PROMPT, "{:?}", since.elapsed());
    assert_eq!(run.status, 255, "{}", run.stderr);
    place.assert_clean()
}

#[test]
fn the_guest_with_its_agent() -> Result<()> {
    let place = Place::new()?;
    // Without masked paths a container can crash its own kernel.
    let bundle = place.path("bundle");
    std::fs::create_dir(&bundle)?;
    std::fs::write(
        bundle.join("config.json"),
        format!(
            r#"{{"ociVersion":"1.2.0","root":{{"path":"{}"}},
            "process":{{"args":["sh","-c","echo c > /proc/sysrq-trigger; sleep 100"],"cwd":"/",
                "env":["PATH=/bin"],"user":{{"uid":0,"gid":0}}}},
            "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}}],
            "linux":{{"namespaces":[{{"type":"pid"}},{{"type":"network"}},{{"type":"mount"}}]}}}}"#,
            place.rootfs().display()
        ),
    )?;
    let bundle = bundle.display().to_string();
    let run = place
        .vc(["run", "--bundle", &bundle, &place.id("guest")])
        .finish()?;
    assert_eq!(run.status, 255, "{}", run.stderr);
    place.assert_clean()
}

#[test]
fn the_caller() -> Result<()> {
    let place = Place::new()?;
    let run = talking(&place, "caller")?;
    let id = place.id("caller");
    let state = place.vc(["state", &id]).finish()?.expect(0)?;
    let state: serde_json::Value = serde_json::from_slice(&state.stdout)?;
    kill(run.pid())?;
    run.finish()?.expect(137)?;
    wait_for_end(u32::try_from(state["pid"].as_u64().context("no pid")?)?)?;
    place.assert_clean()
}

#[test]
fn a_supervisor_that_nobody_watches_is_cleaned_up_by_the_next_call() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "orphan")?;
    let supervisor = running.supervisor()?;
    kill(supervisor)?;
    wait_for_end(supervisor)?;
    let state = running.state()?;
    assert_eq!(state["status"], "stopped");
    running.delete()?;
    place.assert_clean()
}

#[test]
fn an_interrupt_is_the_containers() -> Result<()> {
    let place = Place::new()?;
    let script = "trap 'echo int; exit 7' INT; echo up; while :; do sleep 1; done";
    let mut run = place
        .run(&place.id("int"), [], ["sh", "-c", script])
        .start()?;
    let mut stdout = run.take_stdout().context("no output")?;
    let mut said = [0; 3];
    std::io::Read::read_exact(&mut stdout, &mut said)?;
    run.signal(Signal::INT)?;
    run.finish()?.expect(7)?;
    place.assert_clean()
}

#[test]
fn three_interrupts_end_a_deaf_container() -> Result<()> {
    let place = Place::new()?;
    let script = "trap '' INT; echo up; while :; do sleep 1; done";
    let mut run = place
        .run(&place.id("deaf"), [], ["sh", "-c", script])
        .start()?;
    let mut stdout = run.take_stdout().context("no output")?;
    let mut said = [0; 3];
    std::io::Read::read_exact(&mut stdout, &mut said)?;
    // Signals that come faster than they are taken are one: they are sent at the pace of fingers.
    let caller = i32::try_from(run.pid())?;
    let caller = pidfd_open(
        Pid::from_raw(caller).context("no pid")?,
        PidfdFlags::empty(),
    )?;
    let pace = Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
    let ended = || poll(&mut [PollFd::new(&caller, PollFlags::IN)], Some(&pace));
    for _ in 0..100 {
        pidfd_send_signal(&caller, Signal::INT)?;
        if ended()? == 1 {
            break;
        }
    }
    run.finish()?.expect(130)?;
    place.assert_clean()
}

/// Interrupts `vc run` after each phase of its boot.
#[test]
fn an_interrupt_at_any_moment_of_a_boot_leaves_nothing() -> Result<()> {
    for (number, phase) in [
        "phase=supervisor",
        "phase=share",
        "phase=launch",
        "phase=guest",
        "phase=sandbox",
    ]
    .into_iter()
    .enumerate()
    {
        let place = Place::new()?;
        let id = place.id(&format!("boot{number}"));
        let mut run = place.run(&id, ["-v"], ["sleep", "1000"]).start()?;
        run.wait_for_stderr(phase)?;
        run.signal(Signal::INT)?;
        let run = run.finish()?;
        // 130 from us during the boot, or from the container once it runs.
        assert!(
            matches!(run.status, 130 | 137),
            "{phase}: {} {}",
            run.status,
            run.stderr
        );
        place.assert_clean()?;
    }
    Ok(())
}

/// Kills a program of the sandbox when the boot has completed a phase.
fn dies_during_boot(word: &str, phase: &str) -> Result<()> {
    let place = Place::new()?;
    let id = place.id("bootkill");
    let mut run = place.run(&id, ["-v"], ["sleep", "100000"]).start()?;
    run.wait_for_stderr(&format!("phase={phase}"))?;
    let victim = find(&place, word)?.with_context(|| format!("no {word} runs"))?;
    let since = Instant::now();
    kill(victim)?;
    let run = run.finish()?;
    assert!(
        since.elapsed() < PROMPT,
        "{word} {phase}: {:?}",
        since.elapsed()
    );
    // 1 when the boot failed, 255 when it was just over.
    assert!(
        matches!(run.status, 1 | 255),
        "{word} {phase}: {} {}",
        run.status,
        run.stderr
    );
    place.assert_clean()
}

#[test]
fn qemu_killed_during_a_boot_is_an_error_at_once() -> Result<()> {
    for phase in ["launch", "guest", "sandbox", "containers"] {
        dies_during_boot("qemu-system", phase)?;
    }
    Ok(())
}

#[test]
fn a_helper_killed_during_a_boot_is_an_error_at_once() -> Result<()> {
    for phase in ["launch", "guest"] {
        dies_during_boot("virtiofsd", phase)?;
        if !std::path::Path::new("/dev/vhost-vsock").exists() {
            dies_during_boot("vhost-device-vsock", phase)?;
        }
    }
    Ok(())
}

#[test]
fn a_supervisor_killed_during_a_boot_is_an_error_at_once() -> Result<()> {
    for phase in ["share", "launch", "sandbox"] {
        let place = Place::new()?;
        let id = place.id("bootsup");
        let mut run = place.run(&id, ["-v"], ["sleep", "100000"]).start()?;
        run.wait_for_stderr(&format!("phase={phase}"))?;
        let since = Instant::now();
        kill(supervisor_of(run.pid())?)?;
        let run = run.finish()?;
        assert!(since.elapsed() < PROMPT, "{phase}: {:?}", since.elapsed());
        assert!(
            matches!(run.status, 1 | 255),
            "{phase}: {} {}",
            run.status,
            run.stderr
        );
        place.assert_clean()?;
    }
    Ok(())
}

/// The child of `vc run` that supervises its sandbox.
pub(crate) fn supervisor_of(caller: u32) -> Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{caller}/task/{caller}/children"))?;
    Ok(children
        .split_whitespace()
        .next()
        .context("no child")?
        .parse()?)
}

#[test]
fn what_is_seen_of_a_failed_boot_is_told() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("report");
    let mut run = place.run(&id, ["-v"], ["true"]).start()?;
    run.wait_for_stderr("phase=launch")?;
    kill(find(&place, "qemu-system")?.context("no QEMU runs")?)?;
    let run = run.finish()?.expect(1)?;
    for part in [
        "phase: guest",
        "machine: qemu ended: ",
        "signal 9",
        "guest console",
        "checked:",
    ] {
        assert!(run.stderr.contains(part), "{part:?} in {}", run.stderr);
    }
    place.assert_clean()
}

#[test]
fn a_guest_that_stays_silent_is_booted_again_and_then_given_up() -> Result<()> {
    let place = Place::new()?;
    let configuration = place.path("configuration.toml");
    std::fs::write(&configuration, "[runtime]\ndeadline_factor = 0.2\n")?;
    // The agent is up, and nobody can reach it.
    let deaf = "agent.announce_vport=0 agent.server_addr=unix:///run/elsewhere";
    let run = place.run(
        &place.id("silent"),
        ["-v", "--kernel-params", deaf],
        ["true"],
    );
    let run = run.env("VC_CONFIG", configuration).finish()?.expect(1)?;
    assert_eq!(
        run.stderr.matches("phase=launch").count(),
        2,
        "{}",
        run.stderr
    );
    for part in [
        "did not answer within 12 s",
        "phase: guest",
        "machine: alive",
    ] {
        assert!(run.stderr.contains(part), "{part:?} in {}", run.stderr);
    }
    place.assert_clean()
}

#[test]
fn the_program_under_test_is_the_one_that_was_built() {
    assert!(
        place::vc_program().exists(),
        "{}",
        place::vc_program().display()
    );
}
