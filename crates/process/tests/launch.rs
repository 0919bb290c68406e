//! What a child gets, and what it does not get.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use virtcontainers_process::{Child, ErrorKind, Exit, Launcher, Stream, on_thread_blocking};

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Launcher {
    Launcher::new("/bin/sh").args(["-c", script])
}

/// Runs to the end and returns the exit and standard output.
fn output(launcher: Launcher) -> (Exit, String) {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let stdout = file.try_clone().expect("a duplicate").into();
    let child = launcher
        .stdout(Stream::Descriptor(stdout))
        .spawn()
        .expect("a start");
    let exit = child.wait_blocking(SOON).expect("an end");
    let mut text = String::new();
    file.rewind().expect("a rewind");
    file.read_to_string(&mut text).expect("text");
    (exit, text)
}

fn file_with(text: &str) -> OwnedFd {
    let mut file = tempfile::tempfile().expect("a temporary file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("a write");
    file.rewind().expect("a rewind");
    file.into()
}

#[test]
fn the_environment_is_path_and_what_was_given() {
    let launcher = Launcher::new("/usr/bin/env").env("A", "1").env("A", "2");
    let (exit, text) = output(launcher);
    assert_eq!(exit, Exit::Status(0));
    let names: Vec<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
    assert_eq!(names, ["PATH", "A"]);
    assert!(text.contains("A=2"));
}

#[test]
fn passed_descriptors_count_from_three_and_nothing_else_is_open() {
    // Descriptors of ours that an exec would keep.
    let leaky: Vec<OwnedFd> = (0..20)
        .map(|_| rustix::io::dup(std::io::stderr()).expect("a duplicate"))
        .collect();
    let mut launcher = shell("cat <&3; cat <&4; ls /proc/self/fd | tr '\\n' ' '");
    assert_eq!(launcher.pass(file_with("three ")), 3);
    assert_eq!(launcher.pass(file_with("four ")), 4);
    let (exit, text) = output(launcher);
    assert_eq!(exit, Exit::Status(0));
    // 5 is the folder that ls reads.
    assert_eq!(text, "three four 0 1 2 3 4 5 ");
    drop(leaky);
}

#[test]
fn an_exit_a_signal_and_later_waiters_get_the_same_answer() {
    let (exit, _) = output(shell("exit 7"));
    assert_eq!(exit, Exit::Status(7));
    let child = shell("kill -TERM $$; exit 1").spawn().expect("a start");
    assert_eq!(child.wait_blocking(SOON).ok(), Some(Exit::Signal(15)));
    assert_eq!(child.wait_blocking(SOON).ok(), Some(Exit::Signal(15)));
    assert_eq!(child.try_wait(), Some(Exit::Signal(15)));
    assert_eq!(
        child.signal(virtcontainers_process::Signal::TERM).ok(),
        Some(false)
    );
}

#[tokio::test]
async fn many_may_wait() {
    let child = shell("read line; exit 3");
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let child = child
        .stdin(Stream::Descriptor(reader))
        .spawn()
        .expect("a start");
    let end = async {
        drop(writer);
    };
    let (one, two, ()) = tokio::join!(child.wait(), child.wait(), end);
    assert_eq!(one.ok(), Some(Exit::Status(3)));
    assert_eq!(two.ok(), Some(Exit::Status(3)));
}

#[test]
fn a_program_that_is_missing_or_not_executable_is_named() {
    let rows = [
        ("/no/such/program", ErrorKind::NotFound),
        ("/etc/passwd", ErrorKind::Denied),
        ("/", ErrorKind::Denied),
    ];
    for (program, kind) in rows {
        let error = Launcher::new(program).spawn().expect_err("no such program");
        assert_eq!(error.kind(), kind, "{program}");
        assert!(error.to_string().contains(program), "{error}");
    }
    let error = shell("true").arg("a\0b").spawn().expect_err("a zero byte");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_failed_step_is_named_and_fatal() {
    let error = shell("true").current_dir("/no/such/folder").spawn();
    let error = error.expect_err("no such folder").to_string();
    assert!(error.contains("working directory"), "{error}");

    let not_a_namespace: OwnedFd = File::open("/dev/null").expect("null").into();
    let error = shell("true").network_namespace(not_a_namespace).spawn();
    let error = error.expect_err("not a namespace");
    assert!(error.to_string().contains("network namespace"), "{error}");
}

#[test]
fn a_child_is_in_a_session_of_its_own_with_default_signals() {
    // Our tests' runner, or a nohup, may have us ignore signals.
    let (_, status) = output(Launcher::new("/bin/cat").arg("/proc/self/status"));
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_ascii_whitespace().nth(1))
            .map(str::to_owned)
    };
    for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        assert_eq!(mask(name).as_deref(), Some("0000000000000000"), "{name}");
    }
    let (_, own) = output(shell(
        "set -- $(cat /proc/$$/stat); test $1 = $6 && echo own",
    ));
    assert_eq!(own, "own\n");
}

#[test]
fn privileges_can_be_given_up() {
    let (_, status) = output(
        Launcher::new("/bin/grep")
            .args(["NoNewPrivs", "/proc/self/status"])
            .no_new_privileges(),
    );
    assert_eq!(status, "NoNewPrivs:\t1\n");
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    let child = on_thread_blocking("starter", None, || {
        shell("exec sleep 1000").die_with_thread().spawn()
    });
    let child = child.expect("a thread").expect("a start");
    assert_eq!(child.wait_blocking(SOON).ok(), Some(Exit::Signal(9)));
}

#[test]
fn a_dropped_child_lives_on_unless_told_otherwise() {
    let sleeper = || shell("exec sleep 1000");
    let kept = sleeper().spawn().expect("a start");
    let identity = kept.identity();
    drop(kept);
    assert!(identity.is_alive());
    virtcontainers_process::kill_and_wait(identity, SOON).expect("an end");
    assert!(!identity.is_alive());

    let killed = sleeper().kill_on_drop().spawn().expect("a start");
    let identity = killed.identity();
    drop(killed);
    assert!(!identity.is_alive());
    let stat = format!("/proc/{}/stat", identity.pid);
    assert!(!std::path::Path::new(&stat).exists(), "it was reaped");
}

/// A network namespace, and the child that holds it.
fn namespace() -> (Child, OwnedFd) {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    let holder = Launcher::new("/usr/bin/unshare")
        .args(["--net", "/bin/sh", "-c", "echo; exec sleep 1000"])
        .stdout(Stream::Descriptor(writer))
        .kill_on_drop()
        .spawn()
        .expect("unshare");
    let mut ready = [0];
    File::from(reader)
        .read_exact(&mut ready)
        .expect("a namespace");
    let path = format!("/proc/{}/ns/net", holder.identity().pid);
    let namespace = File::open(path).expect("a namespace");
    (holder, namespace.into())
}

fn name_of(namespace: &OwnedFd) -> String {
    let inode = rustix::fs::fstat(namespace).expect("a stat").st_ino;
    format!("net:[{inode}]")
}

#[test]
fn a_child_and_a_thread_enter_a_network_namespace() {
    let (_holder, namespace) = namespace();
    let expected = name_of(&namespace);
    let own = std::fs::read_link("/proc/self/ns/net").expect("a link");
    assert_ne!(own.to_str(), Some(expected.as_str()));

    let inside = Launcher::new("/bin/readlink")
        .arg("/proc/self/ns/net")
        .network_namespace(namespace.as_fd().try_clone_to_owned().expect("a duplicate"));
    let (_, text) = output(inside);
    assert_eq!(text.trim_end(), expected);

    let read = || std::fs::read_link("/proc/thread-self/ns/net");
    let seen = on_thread_blocking("inside", Some(namespace), read).expect("a thread");
    assert_eq!(seen.expect("a link").to_str(), Some(expected.as_str()));
    let after = std::fs::read_link("/proc/self/ns/net").expect("a link");
    assert_eq!(own, after);
}

#[test]
fn standard_streams_are_null_by_default() {
    let (exit, text) = output(shell("readlink /proc/self/fd/0 /proc/self/fd/2"));
    assert_eq!(exit, Exit::Status(0));
    assert_eq!(text, "/dev/null\n/dev/null\n");
}

#[test]
fn starts_from_many_threads_do_not_leak_into_each_other() {
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut launcher = shell("cat <&3; ls /proc/self/fd | tr '\\n' ' '");
                    let name = format!("{number} ");
                    launcher.pass(file_with(&name));
                    let (exit, text) = output(launcher);
                    assert_eq!(exit, Exit::Status(0));
                    assert_eq!(text, format!("{name}0 1 2 3 4 "));
                }
            });
        }
    });
}

#[test]
fn a_passed_descriptor_is_closed_in_the_parent() {
    let probe = file_with("x");
    let number = probe.as_raw_fd();
    let inode = rustix::fs::fstat(&probe).expect("a stat").st_ino;
    let mut launcher = shell("true");
    launcher.pass(probe);
    let (exit, _) = output(launcher);
    assert_eq!(exit, Exit::Status(0));
    // The number may have been reused by a test in another thread.
    let now = std::fs::metadata(format!("/proc/self/fd/{number}"));
    let now = now.map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata));
    assert_ne!(now.ok(), Some(inode));
}
