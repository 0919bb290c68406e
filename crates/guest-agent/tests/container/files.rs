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

#[tokio::test]
async fn a_file_system_in_memory_can_begin_with_a_copy_of_what_it_covers() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let agent = Agent::start().await;
    let image = image();
    let folder = image.path().join("data");
    std::fs::create_dir_all(folder.join("below/deep")).unwrap();
    std::fs::write(folder.join("below/deep/file"), "copied\n").unwrap();
    symlink("/etc/nothing", folder.join("link")).unwrap();
    let mode = |name: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.join(name), permissions).unwrap();
    };
    mode("below/deep/file", 0o4751);
    mode("", 0o2750);
    std::os::unix::fs::chown(folder.join("below"), Some(7), Some(8)).unwrap();
    let busybox = format!("{}/bin", crate::spec::rootfs());
    let script = "cd /data; cat below/deep/file; stat -c '%a %u:%g %n' . below below/deep/file; \
                  readlink link; echo changed > below/deep/file; echo new > new; \
                  grep -c ' /data tmpfs' /proc/mounts";
    let (output, status) = run(&agent, script, |spec| {
        let root = spec.Root.as_mut().unwrap();
        root.Readonly = false;
        root.Path = image.path().display().to_string();
        spec.Mounts.push(mount("bind", &busybox, "/bin", &["bind"]));
        let options = ["rw", "nosuid", "tmpcopyup"];
        spec.Mounts.push(mount("tmpfs", "tmpfs", "/data", &options));
    })
    .await;
    let expected = "copied\n2750 0:0 .\n755 7:8 below\n4751 0:0 below/deep/file\n\
                    /etc/nothing\n1\n";
    assert_eq!((output.as_str(), status), (expected, 0));
    let kept = std::fs::read_to_string(folder.join("below/deep/file")).unwrap();
    assert_eq!(kept, "copied\n", "the image is as it was");
    assert!(!folder.join("new").exists());
}

#[tokio::test]
async fn only_a_file_system_in_memory_can_begin_with_a_copy() {
    let agent = Agent::start().await;
    let (code, text) = refusal(&agent, |spec| {
        spec.Mounts
            .push(mount("bind", "/tmp", "/x", &["bind", "tmpcopyup"]));
    })
    .await;
    assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT);
    assert!(text.contains("tmpcopyup"), "{text}");
}
