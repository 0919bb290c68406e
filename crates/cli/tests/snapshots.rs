//! What people and programs get to read without any virtual machine: help, errors, JSON. Each is
//! compared with a file in `tests/snapshots`; `VC_UPDATE_GOLDEN=1` writes the files anew.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the program in a folder of its own, without anything of the caller's environment.
fn vc(folder: &Path, line: &[&str]) -> Output {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test of the program starts the program"
    )]
    let mut program = Command::new(env!("CARGO_BIN_EXE_vc"));
    program
        .args(line)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8], folder: &Path) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replace(&folder.display().to_string(), "FOLDER")
}

fn compare(name: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let file = folder.join(name);
    if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, found).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == found,
        "{name} has changed; if it may, run the tests with VC_UPDATE_GOLDEN=1\n--- now:\n{found}"
    );
}

/// The commands in the order of the help.
fn commands(folder: &Path) -> Vec<String> {
    let help = vc(folder, &["--help"]);
    let help = text(&help.stdout, folder);
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn help() {
    let folder = tempfile::tempdir().unwrap();
    let all = commands(folder.path());
    assert!(all.len() > 15, "{all:?}");
    let words: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "help")
        .collect();
    for name in words {
        let output = vc(folder.path(), &[name, "--help"]);
        assert!(output.status.success(), "{name}");
        assert!(output.stderr.is_empty(), "{name}");
        let help = text(&output.stdout, folder.path());
        compare(&format!("help/{name}.txt"), &help);
    }
    let help = vc(folder.path(), &["--help"]);
    compare("help.txt", &text(&help.stdout, folder.path()));
}

#[test]
fn json() {
    let folder = tempfile::tempdir().unwrap();
    let features = vc(folder.path(), &["features"]);
    assert!(features.status.success());
    compare("features.json", &text(&features.stdout, folder.path()));

    let spec = vc(folder.path(), &["spec"]);
    assert!(spec.status.success());
    assert!(spec.stdout.is_empty());
    let written = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&written).unwrap();
    // Sets have no order.
    let sorted = serde_json::to_string_pretty(&sorted(parsed)).unwrap();
    compare("spec.json", &(sorted + "\n"));

    let list = vc(
        folder.path(),
        &["--root", "/nosuch/root", "list", "--format", "json"],
    );
    assert_eq!(text(&list.stdout, folder.path()), "[]\n");
}

/// With every list of capabilities in order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Array(all) => {
            let mut all: Vec<Value> = all.into_iter().map(sorted).collect();
            if all
                .iter()
                .all(|one| one.as_str().is_some_and(|text| text.starts_with("CAP_")))
            {
                all.sort_by_key(ToString::to_string);
            }
            Value::Array(all)
        }
        Value::Object(all) => all
            .into_iter()
            .map(|(name, one)| (name, sorted(one)))
            .collect(),
        other => other,
    }
}

#[test]
fn version() {
    let folder = tempfile::tempdir().unwrap();
    let output = vc(folder.path(), &["--version"]);
    let version = text(&output.stdout, folder.path());
    let names: Vec<&str> = version
        .lines()
        .filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name))
        .collect();
    assert_eq!(names, ["vc version", "commit:", "spec:"]);
}

/// Folders with bundles that cannot be used.
fn bundles(folder: &Path) -> PathBuf {
    let rows = [
        ("torn", "{\"ociVersion\": \"1.2.0\",\n \"root\": "),
        (
            "mistyped",
            r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},
 "process":{"args":"sh","cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
        (
            "unrooted",
            r#"{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
        (
            "terminal",
            r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"network"}]},
 "process":{"terminal":true,"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
        (
            "hosts",
            r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"linux":{},
 "process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
        (
            "good",
            r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"network"}]},
 "process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
        (
            "member",
            r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"linux":{},
 "annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-id":"pod"},
 "process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        ),
    ];
    for (name, config) in rows {
        let bundle = folder.join(name);
        std::fs::create_dir_all(bundle.join("rootfs")).unwrap();
        std::fs::write(bundle.join("config.json"), config).unwrap();
    }
    std::fs::create_dir(folder.join("empty")).unwrap();
    std::fs::write(folder.join("process.json"), "{\"args\": \"sh\"}").unwrap();
    // Boots nothing: what is refused here is refused before.
    std::fs::write(folder.join("kernel"), "").unwrap();
    let configuration = folder.join("configuration.toml");
    let kernel = folder.join("kernel");
    let line = format!("kernel = {kernel:?}\ninitrd = {kernel:?}\n");
    std::fs::write(&configuration, format!("[hypervisor.qemu]\n{line}")).unwrap();
    configuration
}

/// Each mistake has a message of its own, status 1, and nothing on standard output.
#[test]
fn errors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let configuration = bundles(&folder).display().to_string();
    let lines = [
        "",
        "nosuch",
        "--nosuch",
        "checkpoint x",
        "state",
        "state a/b",
        "--root relative list",
        "--root /dev/null/root list",
        "--root /dev/null/root state x",
        "--rootless true list",
        "--log /nosuch/folder/log list",
        "--config /nosuch/file list",
        "state x",
        "start x",
        "kill x",
        "kill x NOSUCH",
        "delete x",
        "exec x true",
        "exec x",
        "exec --cgroup y x true",
        "exec --preserve-fds 2 x true",
        "ps x",
        "pause x",
        "resume x",
        "update x",
        "update --cpuset-cpus 0 x",
        "update --memory lots x",
        "events x",
        "events --interval never x",
        "network plan --netns /nosuch/netns",
        "network plan --netns /dev/null",
        "network plan --netns /proc/self/ns/net",
        "network list x",
        "network add x eth1",
        "network add --address 10.0.0.1 x eth1",
        "network add --mtu 0 x eth1",
        "network remove x eth1",
        "network set-route x",
        "network set-route x default via 10.0.0.1",
        "network set-route x 10.1.2.3/16 dev eth0",
        "network set-route x default dev eth0 metric 5",
        "network set-route x default dev eth0",
        "create -b nosuch x",
        "create -b empty x",
        "create -b torn x",
        "create -b mistyped x",
        "create -b unrooted x",
        "create -b member x",
        "create -b hosts x",
        "create -b terminal x",
        "create -b terminal --console-socket nosuch.sock x",
        "create -b good --console-socket nosuch.sock x",
        "create -b good --pid-file nosuch/pid x",
        "create -b good --preserve-fds 1 x",
        "run -b terminal --console-socket nosuch.sock x",
        "run -b good --tty x",
        "run -b good --rootfs /r x",
        "run --rootfs nosuch x true",
        "spec -b good",
        "spec -b nosuch",
        "console x",
        "logs x",
        "inspect x",
    ];
    let mut found = String::new();
    for line in lines {
        let root = folder.join("root").display().to_string();
        let mut words: Vec<&str> = Vec::new();
        for (flag, value) in [("--root", &root), ("--config", &configuration)] {
            if !line.contains(flag) {
                words.extend([flag, value]);
            }
        }
        words.extend(line.split_whitespace());
        let output = vc(&folder, &words);
        assert_eq!(output.status.code(), Some(1), "vc {line}");
        assert!(output.stdout.is_empty(), "vc {line}");
        let first: String = text(&output.stderr, &folder)
            .split("\n\nUsage:")
            .take(1)
            .collect();
        writeln!(found, "$ vc {line}\n{}\n", first.trim_end()).unwrap();
    }
    compare("errors.txt", &found);
}

#[test]
fn an_error_is_where_a_manager_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let root = folder.join("root").display().to_string();
    for line in [
        vec!["state", "nosuch"],
        vec!["state", "a/b"],
        vec!["nosuch"],
    ] {
        let log = folder.join("log.json").display().to_string();
        std::fs::remove_file(&log).unwrap_or_default();
        let words = ["--root", &root, "--log", &log, "--log-format", "json"];
        let words: Vec<&str> = words.into_iter().chain(line.iter().copied()).collect();
        let output = vc(folder, &words);
        assert_eq!(output.status.code(), Some(1));
        let lines = std::fs::read_to_string(&log).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "error");
        let message = last["msg"].as_str().unwrap();
        assert!(
            !message.is_empty() && last["time"].as_str().is_some(),
            "{last}"
        );
        // A person is told too, in plain words.
        let told = text(&output.stderr, folder);
        let first = message.split(": ").next().unwrap();
        assert!(told.contains(first), "{told}");
    }
}

#[test]
fn what_is_not_there_may_be_deleted_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root").display().to_string();
    let output = vc(
        folder.path(),
        &["--root", &root, "delete", "--force", "nosuch", "neither"],
    );
    assert!(output.status.success());
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

/// A flag that nobody told of would be a promise that nobody knows.
#[test]
fn the_page_of_the_runtime_has_every_flag() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/oci.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let all = commands(folder.path());
    let oci = all.iter().take_while(|name| *name != "check");
    for name in oci {
        assert!(page.contains(&format!("`{name}`")), "{name}");
        let help = vc(folder.path(), &[name, "--help"]);
        for line in text(&help.stdout, folder.path()).lines() {
            let line = line.trim_start();
            if !line.starts_with('-') {
                continue;
            }
            let flag = line.split([' ', ',']).find(|word| word.starts_with("--"));
            let flag = flag.unwrap_or_default();
            let told = page.contains(&format!("`{flag}`")) || page.contains(&format!("`{flag} "));
            let known = ["--help", "--config", "--verbose", "--verbose..."].contains(&flag);
            assert!(told || known, "{name} {flag} is not in docs/oci.md");
        }
    }
}
