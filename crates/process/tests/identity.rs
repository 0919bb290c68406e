//! Finding, watching and ending processes that are not children, or whose pid nobody wrote down.

use std::time::Duration;

use virtcontainers_process::{
    ErrorKind, Exit, Identity, Launcher, Mark, OutputTail, Signal, Stream, find_by_nonce,
    kill_and_wait,
};

const SOON: Duration = Duration::from_secs(20);

fn nonce(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn sleeper(mark: &Mark) -> Launcher {
    Launcher::new("/bin/sleep").arg("1000").marked(mark)
}

#[test]
fn an_identity_is_pid_and_start_time() {
    let own = Identity::current().expect("ourselves");
    assert!(own.is_alive());
    let other = Identity {
        start_time: own.start_time + 1,
        ..own
    };
    assert!(!other.is_alive());
    // Nobody is hit by a signal for a process that had this pid before.
    assert_eq!(other.signal(Signal::KILL).ok(), Some(false));
    kill_and_wait(other, Duration::ZERO).expect("it is gone already");
    assert_eq!(Identity::of(u32::MAX).ok(), Some(None));
    let text = serde_json::to_string(&own).expect("json");
    assert_eq!(serde_json::from_str::<Identity>(&text).ok(), Some(own));
}

#[test]
fn a_zombie_is_not_alive() {
    let child = Launcher::new("/bin/true").spawn().expect("a start");
    let identity = child.identity();
    let watch = identity.open().expect("an open");
    if let Some(watch) = watch {
        watch.gone_blocking(SOON).expect("an end");
    }
    assert!(std::path::Path::new(&format!("/proc/{}", identity.pid)).exists());
    assert!(!identity.is_alive());
    assert_eq!(Identity::of(identity.pid).ok(), Some(None));
    assert_eq!(child.try_wait(), Some(Exit::Status(0)));
}

#[tokio::test]
async fn waiting_for_another_process_has_a_deadline() {
    let mark = Mark::new(nonce("waiting"), "sleeper");
    let child = sleeper(&mark).kill_on_drop().spawn().expect("a start");
    let identity = child.identity();
    let early = identity.wait_gone(Duration::from_millis(10)).await;
    assert_eq!(early.map_err(|e| e.kind()), Err(ErrorKind::Timeout));
    let (gone, killed) = tokio::join!(identity.wait_gone(SOON), async { child.kill() });
    gone.expect("it is gone");
    killed.expect("it was killed");
    identity
        .wait_gone(Duration::ZERO)
        .await
        .expect("still gone");
}

#[test]
fn marked_processes_are_found_and_ended_twice() {
    let nonce = nonce("marked");
    let ours = Mark::new(&nonce, "one");
    let other = Mark::new(&nonce, "two");
    let first = sleeper(&ours).kill_on_drop().spawn().expect("a start");
    // A shell with a child: both carry the mark.
    let shell = Launcher::new("/bin/sh")
        .args(["-c", "sleep 1000; true"])
        .marked(&ours)
        .kill_on_drop()
        .spawn()
        .expect("a start");
    let second = sleeper(&other).kill_on_drop().spawn().expect("a start");

    let found = find_by_nonce(&nonce).expect("a search");
    for child in [&first, &shell, &second] {
        assert!(found.contains(&child.identity()));
    }
    assert!(!ours.find().expect("a search").contains(&second.identity()));

    ours.end_all(SOON).expect("an end");
    assert_eq!(first.try_wait(), Some(Exit::Signal(9)));
    assert_eq!(shell.try_wait(), Some(Exit::Signal(9)));
    assert_eq!(second.try_wait(), None);
    ours.end_all(Duration::ZERO).expect("nothing is left to do");
    other.end_all(SOON).expect("an end");
    assert_eq!(find_by_nonce(&nonce).ok(), Some(Vec::new()));
}

#[tokio::test]
async fn last_words_are_kept_and_a_flood_does_not_block() {
    let (tail, writer) = OutputTail::pipe().expect("a pipe");
    let child = Launcher::new("/bin/sh")
        .args([
            "-c",
            "head -c 3000000 /dev/zero >&2; echo; echo last words >&2",
        ])
        .stderr(Stream::Descriptor(writer))
        .kill_on_drop()
        .spawn()
        .expect("a start");
    let (exit, followed) = tokio::join!(child.wait(), tail.follow());
    followed.expect("the end of the pipe");
    assert_eq!(exit.ok(), Some(Exit::Status(0)));
    assert!(tail.text().ends_with("last words"));
}

#[test]
fn last_words_of_a_program_that_ended_are_there_without_a_runtime() {
    let (tail, writer) = OutputTail::pipe().expect("a pipe");
    let child = Launcher::new("/bin/sh")
        .args(["-c", "echo no such device >&2; exit 1"])
        .stderr(Stream::Descriptor(writer))
        .spawn()
        .expect("a start");
    assert_eq!(child.wait_blocking(SOON).ok(), Some(Exit::Status(1)));
    assert_eq!(tail.text(), "no such device");
}
