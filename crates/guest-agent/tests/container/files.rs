//! Mounts, masks, read-only roots.

use crate::harness::Agent;
use crate::{image, mount, refusal, run};

#[tokio::test]
async fn the_root_is_read_only_when_asked() {
    let agent = Agent::start().await;
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("bin", root.path().join("usr")).unwrap();
    let bin = format!("{}/bin", crate::spec::rootfs());
    let path = root.path().display().to_string();
    for (readonly, expected) in [(true, "Read-only file system"), (false, "written")] {
        let (output, _) = run(&agent, "touch /file && echo written", |spec| {
            let own = spec.Root.as_mut().unwrap();
            (own.Path, own.Readonly) = (path.clone(), readonly);
            spec.Mounts
                .push(mount("bind", &bin, "/bin", &["rbind", "ro"]));
        })
        .await;
        assert!(output.contains(expected), "{output}");
    }
    assert!(root.path().join("file").exists());
}

#[tokio::test]
async fn binds_have_their_options() {
    let agent = Agent::start().await;
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("data"), "inside\n").unwrap();
    let source = volume.path().display().to_string();
    let image = image();
    let script = "cat /vol/data /file; touch /vol/x 2>&1; touch /ro/x 2>&1; \
                  grep ' /ro ' /proc/self/mountinfo | cut -d' ' -f6";
    let (output, _) = run(&agent, script, |spec| {
        spec.Mounts
            .push(mount("bind", &source, "/tmp/deep/vol", &["rbind", "rw"]));
        spec.Mounts.push(mount("", &source, "/vol", &["bind"]));
        spec.Mounts.push(mount(
            "bind",
            &source,
            "/ro",
            &["ro", "nosuid", "nodev", "noatime"],
        ));
        spec.Mounts
            .push(mount("bind", &format!("{source}/data"), "/file", &["bind"]));
        let root = spec.Root.as_mut().unwrap();
        root.Readonly = false;
        root.Path = image.path().display().to_string();
    })
    .await;
    assert!(output.starts_with("inside\ninside\n"), "{output}");
    assert!(output.contains("/ro/x: Read-only"), "{output}");
    assert!(output.contains("ro,nosuid,nodev,noatime"), "{output}");
    assert!(volume.path().join("x").exists());
}

#[tokio::test]
async fn options_of_file_systems_reach_the_kernel() {
    let agent = Agent::start().await;
    let (output, _) = run(
        &agent,
        "grep ' /tmp/t ' /proc/mounts; stat -c %a /tmp/t",
        |spec| {
            let options = ["size=64k", "mode=750", "noexec", "nosuid", "nr_inodes=9"];
            spec.Mounts.push(mount("tmpfs", "mine", "/tmp/t", &options));
        },
    )
    .await;
    assert!(
        output.contains("mine /tmp/t tmpfs rw,nosuid,noexec"),
        "{output}"
    );
    assert!(
        output.contains("size=64k") && output.ends_with("\n750\n"),
        "{output}"
    );
}

#[tokio::test]
async fn mounts_that_cannot_be_are_refused_by_name() {
    let agent = Agent::start().await;
    for (wrong, word) in [
        (mount("tmpfs", "x", "/tmp/t", &["nonsense=1"]), "nonsense"),
        (mount("tmpfs", "x", "/tmp/t", &["size=abc"]), "size"),
        (mount("nofs", "x", "/tmp/t", &[]), "nofs"),
        (
            mount("bind", "/no/such/source", "/tmp/t", &["bind"]),
            "/no/such/source",
        ),
        (mount("bind", "relative", "/tmp/t", &["bind"]), "relative"),
        (mount("bind", "", "/tmp/t", &["bind"]), "source"),
        (mount("tmpfs", "x", "tmp/t", &[]), "tmp/t"),
        (mount("tmpfs", "x", "/tmp/../t", &[]), "/tmp/../t"),
        (mount("", "x", "/tmp/t", &[]), "/tmp/t"),
        (mount("bind", "/tmp", "/tmp/t", &["bind", "mode=7"]), "mode"),
        (mount("tmpfs", "x", "/tmp/t", &["idmap"]), "/tmp/t"),
    ] {
        let (_, message) = refusal(&agent, |spec| spec.Mounts.push(wrong.clone())).await;
        assert!(message.contains(word), "{wrong:?}: {message}");
    }
    let (_, message) = refusal(&agent, |spec| {
        spec.Linux.as_mut().unwrap().RootfsPropagation = "sideways".to_owned();
    })
    .await;
    assert!(message.contains("sideways"), "{message}");
}

#[tokio::test]
async fn masked_and_readonly_paths() {
    let agent = Agent::start().await;
    let script = "wc -c < /proc/version; ls /proc/fs | wc -l; \
                  echo 1 > /proc/sys/kernel/shm_rmid_forced; cat /etc/hidden | wc -c; \
                  touch /proc/fs/x; grep -c ' /proc/version ' /proc/mounts";
    let (output, _) = run(&agent, script, |spec| {
        let linux = spec.Linux.as_mut().unwrap();
        linux.MaskedPaths = crate::strings(&["/proc/version", "/proc/fs", "/no/such/path"]);
        linux.ReadonlyPaths = crate::strings(&["/proc/sys", "/no/such/path"]);
    })
    .await;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!((lines[0], lines[1]), ("0", "0"), "{output}");
    assert!(
        output.contains("/proc/sys/kernel/shm_rmid_forced: Read-only file system"),
        "{output}"
    );
    assert!(
        output.contains("/proc/fs/x: Read-only file system"),
        "{output}"
    );
    assert!(output.ends_with("\n1\n"), "{output}");
}

#[tokio::test]
async fn mounts_do_not_get_out() {
    let agent = Agent::start().await;
    let volume = tempfile::tempdir().unwrap();
    std::fs::create_dir(volume.path().join("inner")).unwrap();
    let source = volume.path().display().to_string();
    let (output, _) = run(
        &agent,
        "grep -c volume /proc/mounts; echo x > /tmp/vol/inner/file",
        |spec| {
            spec.Mounts
                .push(mount("bind", &source, "/tmp/vol", &["rbind"]));
            spec.Mounts
                .push(mount("tmpfs", "volume", "/tmp/vol/inner", &[]));
        },
    )
    .await;
    assert_eq!(output, "1\n");
    assert!(!volume.path().join("inner/file").exists());
}

#[tokio::test]
async fn propagation_is_what_was_asked_for() {
    let agent = Agent::start().await;
    for (word, shown) in [
        ("rshared", "shared:"),
        ("private", " - "),
        ("unbindable", "unbindable"),
    ] {
        let script =
            "grep ' / / \\| /bin/../ ' /proc/self/mountinfo; grep ' / ' /proc/self/mountinfo";
        let (output, _) = run(&agent, script, |spec| {
            spec.Linux.as_mut().unwrap().RootfsPropagation = word.to_owned();
        })
        .await;
        assert!(output.contains(shown), "{word}: {output}");
    }
}
