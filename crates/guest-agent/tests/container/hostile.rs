//! Images and hosts that try to reach what is not theirs.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::Agent;
use crate::spec::sh;
use crate::{image, mount, refusal, run};

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn links_in_the_image_do_not_lead_out_of_it() {
    let agent = Agent::start().await;
    let outside = tempfile::tempdir().unwrap();
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("data"), "volume\n").unwrap();
    let image = image();
    // Absolute, climbing, and dangling ones; what they name exists outside.
    symlink(outside.path(), image.path().join("absolute")).unwrap();
    symlink(
        format!("../../../../../..{}", text(outside.path())),
        image.path().join("climbing"),
    )
    .unwrap();
    symlink("/nowhere/yet", image.path().join("dangling")).unwrap();
    for link in ["absolute", "climbing", "dangling"] {
        let (output, _) = run(&agent, &format!("cat /{link}/vol/data"), |spec| {
            let root = spec.Root.as_mut().unwrap();
            (root.Path, root.Readonly) = (text(image.path()), false);
            let destination = format!("/{link}/vol");
            spec.Mounts.push(mount(
                "bind",
                &text(volume.path()),
                &destination,
                &["rbind"],
            ));
        })
        .await;
        assert_eq!(output, "volume\n", "{link}");
        assert_eq!(
            std::fs::read_dir(outside.path()).unwrap().count(),
            0,
            "{link}"
        );
    }
    assert!(image.path().join("nowhere/yet/vol").exists());
}

#[tokio::test]
async fn links_among_mount_points_of_files_and_devices() {
    let agent = Agent::start().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "outside\n").unwrap();
    let image = image();
    std::fs::create_dir(image.path().join("etc")).unwrap();
    symlink(
        outside.path().join("file"),
        image.path().join("etc/resolv.conf"),
    )
    .unwrap();
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), "bound\n").unwrap();
    let (output, _) = run(&agent, "cat /etc/resolv.conf", |spec| {
        let root = spec.Root.as_mut().unwrap();
        (root.Path, root.Readonly) = (text(image.path()), false);
        spec.Mounts.push(mount(
            "bind",
            &text(source.path()),
            "/etc/resolv.conf",
            &["bind", "ro"],
        ));
    })
    .await;
    assert_eq!(output, "bound\n");
    assert_eq!(
        std::fs::read_to_string(outside.path().join("file")).unwrap(),
        "outside\n"
    );
}

#[tokio::test]
async fn proc_cannot_be_put_elsewhere_or_replaced() {
    let agent = Agent::start().await;
    let image = image();
    std::fs::create_dir(image.path().join("fake")).unwrap();
    symlink("fake", image.path().join("proc")).unwrap();
    let (_, message) = refusal(&agent, |spec| {
        let root = spec.Root.as_mut().unwrap();
        (root.Path, root.Readonly) = (text(image.path()), false);
    })
    .await;
    assert!(
        message.contains("/proc") && message.contains("link"),
        "{message}"
    );
    std::fs::remove_file(image.path().join("proc")).unwrap();
    symlink("/proc/self/attr", image.path().join("label")).unwrap();
    let volume = tempfile::tempdir().unwrap();
    for destination in ["/proc/self", "/proc/sys", "/proc", "/label"] {
        let (_, message) = refusal(&agent, |spec| {
            let root = spec.Root.as_mut().unwrap();
            (root.Path, root.Readonly) = (text(image.path()), false);
            spec.Mounts
                .push(mount("bind", &text(volume.path()), destination, &["bind"]));
        })
        .await;
        assert!(
            message.contains("replace a part of /proc"),
            "{destination}: {message}"
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "7.00 7.00\n").unwrap();
    let (output, _) = run(&agent, "cat /proc/uptime", |spec| {
        spec.Mounts.push(mount(
            "bind",
            &text(file.path()),
            "/proc/uptime",
            &["bind", "ro"],
        ));
    })
    .await;
    assert_eq!(output, "7.00 7.00\n");
}

#[tokio::test]
async fn the_host_may_not_send_links() {
    let agent = Agent::start().await;
    let share = agent.run_dir().join("shared/containers");
    std::fs::create_dir_all(&share).unwrap();
    symlink("/proc/1/root", share.join("magic")).unwrap();
    symlink("/etc", share.join("etc")).unwrap();
    for name in ["magic", "etc", "etc/ssl"] {
        let (_, message) = refusal(&agent, |spec| {
            let source = text(&share.join(name));
            spec.Mounts
                .push(mount("bind", &source, "/tmp/vol", &["rbind"]));
        })
        .await;
        assert!(message.contains("link"), "{name}: {message}");
    }
}

#[tokio::test]
async fn a_masked_path_is_masked_behind_a_link() {
    let agent = Agent::start().await;
    let image = image();
    std::fs::write(image.path().join("secret"), "secret\n").unwrap();
    symlink("/secret", image.path().join("alias")).unwrap();
    let (output, _) = run(&agent, "cat /secret /alias", |spec| {
        let root = spec.Root.as_mut().unwrap();
        (root.Path, root.Readonly) = (text(image.path()), false);
        spec.Linux.as_mut().unwrap().MaskedPaths = vec!["/alias".to_owned()];
    })
    .await;
    assert_eq!(output, "");
    assert_eq!(
        std::fs::read_to_string(image.path().join("secret")).unwrap(),
        "secret\n"
    );
}

#[tokio::test]
async fn files_of_users_may_be_anything() {
    let agent = Agent::start().await;
    let image = image();
    std::fs::create_dir(image.path().join("etc")).unwrap();
    let passwd = image.path().join("etc/passwd");
    let kinds: [fn(&Path); 4] = [
        |path| symlink("/etc/passwd", path).unwrap(),
        |path| std::fs::create_dir(path).unwrap(),
        |path| {
            let fifo = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::from_raw_mode(0o666);
            rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
        },
        |path| symlink("/dev/zero", path).unwrap(),
    ];
    for make in kinds {
        make(&passwd);
        let (_, message) = refusal(&agent, |spec| {
            let root = spec.Root.as_mut().unwrap();
            (root.Path, root.Readonly) = (text(image.path()), false);
            spec.Process
                .as_mut()
                .unwrap()
                .User
                .as_mut()
                .unwrap()
                .Username = "root".to_owned();
        })
        .await;
        assert!(message.contains("/etc/passwd"), "{message}");
        std::fs::remove_file(&passwd)
            .or_else(|_| std::fs::remove_dir(&passwd))
            .unwrap();
    }
}

#[tokio::test]
async fn a_working_folder_behind_a_descriptor_is_refused() {
    let agent = Agent::start().await;
    let image = image();
    for number in 3..12 {
        let link = image.path().join(format!("cwd{number}"));
        symlink(format!("/proc/self/fd/{number}"), link).unwrap();
    }
    for number in 3..12 {
        let mut request = crate::spec::container("c1", sh("pwd; ls /"));
        let spec = request.OCI.as_mut().unwrap();
        let root = spec.Root.as_mut().unwrap();
        (root.Path, root.Readonly) = (text(image.path()), false);
        spec.Process.as_mut().unwrap().Cwd = format!("/cwd{number}");
        agent
            .api
            .create_container(crate::ctx(), &request)
            .await
            .unwrap();
        let started = agent.start_container("c1").await;
        assert!(started.is_err(), "descriptor {number} was entered");
        agent.remove("c1").await.unwrap();
    }
}
