//! What is refused: a clear message, status 1, nothing on standard output, nothing left.

use std::path::Path;

use anyhow::Result;
use virtcontainers_tests::Place;
use virtcontainers_tests::program::Program;

/// Fails unless the program is refused with a message that has all `parts`.
fn refused(place: &Place, program: Program, parts: &[&str]) -> Result<()> {
    let run = program.finish()?.expect(1)?;
    assert_eq!(run.text(), "", "nothing goes to standard output");
    for part in parts {
        assert!(run.stderr.contains(part), "{part:?} in {}", run.stderr);
    }
    place.assert_clean()
}

#[test]
fn ids() -> Result<()> {
    let place = Place::new()?;
    let long = "x".repeat(129);
    for id in ["a/b", "..", "", ".", long.as_str(), "a b"] {
        refused(&place, place.run(id, [], ["true"]), &["id"])?;
    }
    Ok(())
}

#[test]
fn kernels_and_initrds() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("assets");
    std::fs::write(place.path("text"), "not a kernel")?;
    let text = place.path("text").display().to_string();
    let rows: [(&[&str], &[&str]); 6] = [
        (
            &["--kernel", "/nosuch/kernel"],
            &["kernel", "/nosuch/kernel"],
        ),
        (
            &["--initrd", "/nosuch/initrd"],
            &["initrd", "/nosuch/initrd"],
        ),
        (&["--image", "/nosuch/image"], &["image", "/nosuch/image"]),
        (&["--image", "/i", "--initrd", "/i"], &["--image"]),
        (&["--kernel", &text], &["kernel", &text]),
        (&["--kernel", "/"], &["kernel"]),
    ];
    for (options, parts) in rows {
        refused(
            &place,
            place.run(&id, options.iter().copied(), ["true"]),
            parts,
        )?;
    }
    Ok(())
}

#[test]
fn missing_programs_name_what_to_install() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("programs");
    let rows = [
        ("path = \"/nosuch/qemu\"", "/nosuch/qemu"),
        ("virtiofsd = \"/nosuch/virtiofsd\"", "/nosuch/virtiofsd"),
        (
            "vsock_helper = \"/nosuch/helper\"\nvsock = \"vhost-user\"",
            "/nosuch/helper",
        ),
    ];
    for (line, part) in rows {
        let file = place.path("configuration.toml");
        std::fs::write(&file, format!("[hypervisor.qemu]\n{line}\n"))?;
        let run = place.run(&id, [], ["true"]).env("VC_CONFIG", file);
        refused(&place, run, &[part])?;
    }
    Ok(())
}

/// Hides QEMU from the program that follows.
const HIDE: &str = "for dir in /usr/local/bin /usr/bin /bin; do \
    test -e $dir/qemu-system-x86_64 && mount --bind /dev/null $dir/qemu-system-x86_64; done; \
    exec \"$0\" \"$@\"";

#[test]
fn a_host_without_qemu_is_told_which_package() -> Result<()> {
    let place = Place::new()?;
    let run = place
        .run(&place.id("noqemu"), [], ["true"])
        .under(["unshare", "--mount", "sh", "-c", HIDE]);
    refused(&place, run, &["qemu-system-x86"])
}

#[test]
fn bundles_and_root_file_systems() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("bundle");
    let bundle = |name: &str, config: Option<&str>| -> Result<String> {
        let path = place.path(name);
        std::fs::create_dir(&path)?;
        if let Some(config) = config {
            std::fs::write(path.join("config.json"), config)?;
        }
        Ok(path.display().to_string())
    };
    let empty = bundle("empty", None)?;
    let broken = bundle("broken", Some("{\n \"root\": }"))?;
    let rootless = bundle(
        "rootless",
        Some(
            r#"{"ociVersion":"1.2.0","root":{"path":"nosuch"},
            "process":{"args":["true"],"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
    )?;
    let rows: [(&str, &[&str]); 4] = [
        ("/nosuch/bundle", &["/nosuch/bundle"]),
        (&empty, &["config.json"]),
        (&broken, &["line 2"]),
        (&rootless, &["nosuch"]),
    ];
    for (bundle, parts) in rows {
        refused(&place, place.vc(["run", "--bundle", bundle, &id]), parts)?;
    }
    let rootfs = place.vc(["run", "--rootfs", "/nosuch/rootfs", &id, "--", "true"]);
    refused(&place, rootfs, &["/nosuch/rootfs"])
}

#[test]
fn sizes() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("sizes");
    for size in ["64M", "1", "0", "1000G"] {
        refused(
            &place,
            place.run(&id, ["--memory", size], ["true"]),
            &["memory"],
        )?;
    }
    for cpus in ["0", "1000", "1.5"] {
        refused(&place, place.run(&id, ["--cpus", cpus], ["true"]), &[])?;
    }
    Ok(())
}

#[test]
fn values() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("values");
    let rows: [(&[&str], &str); 6] = [
        (&["--user", "nosuch"], "nosuch"),
        (&["--env", "NOVALUE"], "NAME=VALUE"),
        (&["--cwd", "relative"], "absolute"),
        (&["--volume", "/nosuch/volume:/mnt"], "/nosuch/volume"),
        (&["--volume", "relative:/mnt"], "absolute"),
        (&["--nosuch-option"], "--nosuch-option"),
    ];
    for (options, part) in rows {
        refused(
            &place,
            place.run(&id, options.iter().copied(), ["true"]),
            &[part],
        )?;
    }
    refused(&place, place.run(&id, [], []), &["command"])
}

#[test]
fn configurations() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("configuration");
    let file = place.path("configuration.toml");
    std::fs::write(&file, "[hypervisor.qemu]\nmemroy = 512\n")?;
    let run = place.run(&id, [], ["true"]).env("VC_CONFIG", &file);
    refused(&place, run, &["memroy", "hypervisor.qemu.memory"])?;
    let run = place
        .run(&id, [], ["true"])
        .env("VC_CONFIG", "/nosuch/configuration.toml");
    refused(&place, run, &["/nosuch/configuration.toml"])
}

#[test]
fn unknown_containers() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("unknown");
    for command in [vec!["state"], vec!["kill"], vec!["delete"], vec!["logs"]] {
        refused(
            &place,
            place.vc(command.into_iter().chain([id.as_str()])),
            &[&id],
        )?;
    }
    place.vc(["delete", "--force", &id]).finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn errors_are_json_when_asked_for() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("json");
    let run = place
        .vc(["--log-format", "json", "state", &id])
        .finish()?
        .expect(1)?;
    let line: serde_json::Value = serde_json::from_str(run.stderr.trim())?;
    assert_eq!(line["level"], "error");
    assert!(
        line["msg"].as_str().is_some_and(|msg| msg.contains(&id)),
        "{line}"
    );
    assert!(
        line["time"].as_str().is_some_and(|time| time.contains('T')),
        "{line}"
    );
    place.assert_clean()
}

#[test]
fn a_guest_that_does_not_come_up_is_explained() -> Result<()> {
    let place = Place::new()?;
    // An archive without any program in it: the kernel panics.
    std::fs::write(place.path("initrd"), cpio_trailer())?;
    let initrd = place.path("initrd").display().to_string();
    let id = place.id("panic");
    let run = place.run(&id, ["--initrd", &initrd], ["true"]);
    refused(
        &place,
        run,
        &[
            "phase: guest",
            "machine: ",
            "console",
            "Kernel panic",
            "checked",
        ],
    )
}

/// An empty archive in the format of an initial RAM disk (cpio(5), "newc").
fn cpio_trailer() -> Vec<u8> {
    let name = b"TRAILER!!!\0";
    let mut archive = b"070701".to_vec();
    for field in 0..13 {
        let value = match field {
            4 => 1,
            11 => name.len(),
            _ => 0,
        };
        archive.extend(format!("{value:08x}").bytes());
    }
    archive.extend(name);
    archive.resize(512, 0);
    archive
}

#[test]
fn the_check_tells_the_truth_about_this_host() -> Result<()> {
    let place = Place::new()?;
    let check = place
        .vc(["check", "--format", "json"])
        .finish()?
        .expect(0)?;
    let items: serde_json::Value = serde_json::from_slice(&check.stdout)?;
    let verdict = |name: &str| {
        let item = items
            .as_array()
            .into_iter()
            .flatten()
            .find(|item| item["name"] == name);
        item.map(|item| item["verdict"].clone()).unwrap_or_default()
    };
    for name in ["qemu", "virtiofsd", "kernel", "initrd"] {
        assert_eq!(verdict(name), "ok", "{name}: {items}");
    }
    let flags = std::fs::read_to_string("/proc/cpuinfo")?;
    let accelerated = flags.contains(" vmx") || flags.contains(" svm");
    if !accelerated || !Path::new("/dev/kvm").exists() {
        assert_ne!(verdict("kvm"), "ok", "{items}");
    }
    place.assert_clean()
}
