//! Hooks: what they get, and that they end, whatever they do. Only the test of the namespace needs
//! root.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use virtcontainers_process::{
    Error, ErrorKind, Hook, HookCall, Launcher, Mark, NONCE_VARIABLE, Stream, TAG_VARIABLE,
    run_hook,
};

const SOON: Duration = Duration::from_secs(20);
const STATE: &[u8] = br#"{"ociVersion":"1.2.0","id":"c1","status":"creating"}"#;

/// A folder for the hooks of one test, and a mark that no other test has.
struct Place {
    directory: tempfile::TempDir,
    mark: Mark,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let nonce = format!("test-{}", directory.path().display());
        let mark = Mark::new(nonce, "hook");
        Self { directory, mark }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    /// The shell's script is data, not a program that this process writes: another thread's fork
    /// could keep that open for writing, and then nobody may execute it.
    fn hook(&self, script: &str) -> Hook {
        let path = self.path("hook.sh");
        std::fs::write(&path, script).expect("a script");
        Hook {
            path: "/bin/sh".into(),
            args: vec!["my-hook".into(), path.into()],
            env: vec!["PATH=/usr/bin:/bin".into()],
            timeout: Some(SOON),
        }
    }

    fn call<'a>(&'a self, state: &'a [u8]) -> HookCall<'a> {
        HookCall {
            state,
            directory: self.directory.path(),
            network_namespace: None,
            mark: &self.mark,
        }
    }

    async fn run(&self, script: &str) -> Result<(), Error> {
        run_hook(&self.hook(script), self.call(STATE)).await
    }

    fn left(&self) -> usize {
        self.mark.find().expect("a look at /proc").len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.mark.end_all(SOON).expect("an end of what is left");
    }
}

#[tokio::test]
async fn a_hook_gets_the_state_its_folder_and_its_arguments() {
    let place = Place::new();
    let script = "cat > state; pwd > folder; tr '\\0' '|' < /proc/$$/cmdline > command";
    place.run(script).await.expect("a hook that is well");
    assert_eq!(place.read("state").as_bytes(), STATE);
    let folder = place.directory.path().canonicalize().expect("a folder");
    assert_eq!(Path::new(place.read("folder").trim_end()), folder);
    let command = place.read("command");
    assert!(command.starts_with("my-hook|"), "{command}");
    assert!(command.ends_with("hook.sh|"), "{command}");
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_the_mark() {
    let place = Place::new();
    let target = place.path("environment");
    let copy = |env: &[&str]| Hook {
        path: "/bin/cp".into(),
        args: vec![
            "cp".into(),
            "/proc/self/environ".into(),
            target.clone().into(),
        ],
        env: env.iter().map(Into::into).collect(),
        timeout: Some(SOON),
    };
    let mark = format!(
        "{NONCE_VARIABLE}={}\0{TAG_VARIABLE}=hook\0",
        place.mark.nonce
    );
    for env in [&[][..], &["B=1", "A=2", "B=3", "odd"]] {
        run_hook(&copy(env), place.call(STATE)).await.expect("cp");
        let given: String = env.iter().map(|entry| format!("{entry}\0")).collect();
        assert_eq!(place.read("environment"), given + &mark);
    }
}

#[tokio::test]
async fn without_arguments_a_hook_is_called_by_its_path() {
    let place = Place::new();
    let hook = Hook {
        path: "/bin/sh".into(),
        ..Hook::default()
    };
    let script = b"tr '\\0' '|' < /proc/$$/cmdline > command";
    run_hook(&hook, place.call(script)).await.expect("a shell");
    assert_eq!(place.read("command"), "/bin/sh|");
}

#[tokio::test]
async fn a_run_may_move_between_threads() {
    let run = async {
        let place = Place::new();
        place.run("true").await
    };
    let ran = tokio::spawn(run).await.expect("no panic");
    ran.expect("a hook that is well");
}

#[tokio::test]
async fn a_large_state_arrives_whole() {
    let place = Place::new();
    let state = vec![b'x'; 3 << 20];
    let hook = place.hook("wc -c > size");
    let called = run_hook(&hook, place.call(&state)).await;
    called.expect("a hook that is well");
    assert_eq!(place.read("size").trim(), state.len().to_string());
}

#[tokio::test]
async fn a_hook_may_ignore_or_close_its_input() {
    let place = Place::new();
    let state = vec![b'x'; 3 << 20];
    for script in [":", "exec <&-; echo on > on", "head -c 1 > /dev/null"] {
        let hook = place.hook(script);
        run_hook(&hook, place.call(&state)).await.expect(script);
    }
}

#[tokio::test]
async fn a_failure_tells_the_status_and_both_streams() {
    let place = Place::new();
    let error = place.run("echo no route; echo for you >&2; exit 3").await;
    let error = error.expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Failed);
    let text = error.to_string();
    for part in ["hook /bin/sh", "exit status 3", "no route\nfor you"] {
        assert!(text.contains(part), "{text}");
    }
    let error = place.run("kill -TERM $$").await.expect_err("a signal");
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("signal 15"), "{error}");
}

#[tokio::test]
async fn the_last_16_kib_of_the_output_are_told() {
    let place = Place::new();
    let script = "seq 1 100000; echo the end; exit 1";
    let text = place.run(script).await.expect_err("a failure").to_string();
    assert!(text.ends_with("100000\nthe end"), "{text}");
    let length = text.len();
    assert!((16_000..17_000).contains(&length), "{length}");
}

#[tokio::test]
async fn a_late_hook_is_killed_with_its_group() {
    let place = Place::new();
    let mut hook = place.hook("echo busy; sleep 1000 & sleep 1000");
    hook.timeout = Some(Duration::from_millis(300));
    let error = run_hook(&hook, place.call(STATE)).await;
    let error = error.expect_err("a timeout");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(text.contains("hook /bin/sh"), "{text}");
    assert!(text.contains("300 ms"), "{text}");
    // Those in the background end by the same signal, at their own pace.
    for left in place.mark.find().expect("a look at /proc") {
        left.wait_gone(SOON).await.expect("an end");
    }
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let place = Place::new();
    let (writer, reader) = tokio::net::unix::pipe::pipe().expect("a pipe");
    let writer = writer.into_blocking_fd().expect("a pipe");
    let path = format!("/proc/{}/fd/{}", std::process::id(), {
        use std::os::fd::AsRawFd;
        writer.as_raw_fd()
    });
    let hook = place.hook(&format!("echo > {path}; sleep 1000 & sleep 1000"));
    tokio::select! {
        biased;
        ended = run_hook(&hook, place.call(STATE)) => panic!("{ended:?}"),
        ready = reader.readable() => ready.expect("a pipe"),
    }
    for left in place.mark.find().expect("a look at /proc") {
        left.wait_gone(SOON).await.expect("an end");
    }
}

#[tokio::test]
async fn nobody_waits_for_what_a_hook_leaves_in_the_background() {
    let place = Place::new();
    // It holds both streams and the input.
    let run = place.run("sleep 1000 & echo started");
    let ran = tokio::time::timeout(SOON, run).await;
    ran.expect("no wait for the rest").expect("a good end");
    assert_eq!(place.left(), 1, "what it left on purpose lives");
}

#[tokio::test]
async fn a_reaped_hook_leaves_no_zombie() {
    let place = Place::new();
    place.run("echo $$ > pid").await.expect("a hook");
    let stat = format!("/proc/{}/stat", place.read("pid").trim());
    assert!(!Path::new(&stat).exists(), "{stat}");
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let place = Place::new();
    let named = |path: &str| Hook {
        path: path.into(),
        ..Hook::default()
    };
    let zero = Hook {
        timeout: Some(Duration::ZERO),
        ..named("/bin/true")
    };
    let torn = Hook {
        env: vec!["A=\0".into()],
        ..named("/bin/true")
    };
    let rows = [
        (named("/no/such/hook"), ErrorKind::NotFound, "/no/such/hook"),
        (named("/etc/passwd"), ErrorKind::Denied, "/etc/passwd"),
        (named("bin/true"), ErrorKind::Invalid, "bin/true"),
        (named(""), ErrorKind::Invalid, "absolute"),
        (zero, ErrorKind::Invalid, "/bin/true"),
        (torn, ErrorKind::Invalid, "zero byte"),
    ];
    for (hook, kind, part) in rows {
        let error = run_hook(&hook, place.call(STATE)).await.expect_err(part);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let gone = place.path("no folder");
    let call = HookCall {
        directory: &gone,
        ..place.call(STATE)
    };
    let error = run_hook(&place.hook("true"), call).await;
    assert_eq!(error.expect_err("no folder").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_hook_runs_in_the_network_namespace() {
    let place = Place::new();
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    let holder = Launcher::new("/usr/bin/unshare")
        .args(["--net", "/bin/sh", "-c", "echo; exec sleep 1000"])
        .stdout(Stream::Descriptor(writer))
        .marked(&place.mark)
        .kill_on_drop()
        .spawn()
        .expect("unshare");
    let mut ready = [0];
    let mut reader = File::from(reader);
    reader.read_exact(&mut ready).expect("a namespace");
    let path = format!("/proc/{}/ns/net", holder.identity().pid);
    let namespace: OwnedFd = File::open(path).expect("a namespace").into();
    let inode = rustix::fs::fstat(&namespace).expect("a stat").st_ino;

    let call = HookCall {
        network_namespace: Some(namespace.as_fd()),
        ..place.call(STATE)
    };
    let hook = place.hook("readlink /proc/self/ns/net > inside");
    run_hook(&hook, call).await.expect("a hook");
    assert_eq!(place.read("inside").trim(), format!("net:[{inode}]"));

    place
        .run("readlink /proc/self/ns/net > outside")
        .await
        .expect("a hook");
    assert_ne!(place.read("outside"), place.read("inside"));
}
