//! Annotations: what they change, and every way in which they are refused.

use super::*;

fn policy(names: &[&str], paths: &[&str]) -> AnnotationPolicy {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    AnnotationPolicy::new(owned(names), owned(paths)).unwrap()
}

fn everything() -> AnnotationPolicy {
    policy(&["*"], &["/opt/*"])
}

/// Annotations by the last part of their names; those with a dot are whole.
fn annotations(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter()
        .map(|(name, value)| (whole(name), (*value).to_owned()))
        .collect()
}

fn whole(name: &str) -> String {
    let known = SETTINGS_BY_NAME.iter().find(|(_, end, _)| *end == name);
    match name.contains('.') {
        true => name.to_owned(),
        false => format!("{}{name}", known.map_or(HYPERVISOR, |(begin, _, _)| begin)),
    }
}

#[track_caller]
fn refused(rows: &[(&str, &str)], policy: &AnnotationPolicy, kind: ErrorKind, parts: &[&str]) {
    let error = overrides(&annotations(rows), policy).expect_err("a refusal");
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for part in parts {
        assert!(message.contains(part), "{message}\nand not: {part}");
    }
}

#[test]
fn nothing_is_asked_for_without_annotations() {
    let foreign = [
        ("org.example/a", "b"),
        ("io.katacontainers.pkg.oci.bundle_path", "/b"),
    ];
    let none = overrides(&annotations(&foreign), &AnnotationPolicy::default());
    assert_eq!(none.unwrap(), Overrides::default());
}

#[test]
fn everything_that_exists() {
    let digest = "AB".repeat(64);
    let rows = [
        ("kernel", "/opt/vmlinux"),
        ("kernel_hash", &digest[..]),
        ("image", "/opt/image"),
        ("firmware", "/opt/firmware"),
        ("path", "/opt/hypervisor"),
        ("default_vcpus", "2"),
        ("default_memory", "512"),
        ("kernel_params", " a=b  quiet "),
        (HASH_TYPE, "sha512"),
    ];
    let wanted = overrides(&annotations(&rows), &everything()).unwrap();
    let kernel = wanted.kernel.unwrap();
    assert_eq!(kernel.path, PathBuf::from("/opt/vmlinux"));
    assert_eq!(kernel.sha512, Some("ab".repeat(64)));
    assert_eq!(wanted.image.unwrap().sha512, None);
    assert_eq!(wanted.initrd, None);
    assert_eq!(
        wanted.hypervisor.unwrap().path,
        PathBuf::from("/opt/hypervisor")
    );
    assert_eq!(
        wanted.firmware.unwrap().path,
        PathBuf::from("/opt/firmware")
    );
    assert_eq!(wanted.vcpus.map(VcpuCount::count), Some(2));
    assert_eq!(wanted.memory, Some(Mebibytes(512)));
    assert_eq!(wanted.kernel_params, ["a=b", "quiet"]);
}

#[test]
fn by_default_nothing_is_allowed() {
    for name in settable() {
        refused(
            &[(name, "/opt/x")],
            &AnnotationPolicy::default(),
            ErrorKind::Denied,
            &[
                &format!("{} is not enabled", whole(name)),
                &format!("enable_annotations = [{name:?}]"),
                "[runtime]",
            ],
        );
    }
}

#[test]
fn the_line_to_add_keeps_what_is_there() {
    let policy = policy(&["default_*", "initrd"], &["/opt/a", "/opt/b/*"]);
    refused(
        &[("kernel", "/opt/a")],
        &policy,
        ErrorKind::Denied,
        &[r#"enable_annotations = ["default_*", "initrd", "kernel"]"#],
    );
    refused(
        &[("initrd", "/srv/i")],
        &policy,
        ErrorKind::Denied,
        &[
            "/srv/i",
            r#"annotation_paths = ["/opt/a", "/opt/b/*", "/srv/i"]"#,
        ],
    );
}

#[test]
fn names_match_as_a_whole() {
    let policy = policy(&["kernel"], &["/opt/*"]);
    let kernel = annotations(&[("kernel", "/opt/vmlinux")]);
    assert!(overrides(&kernel, &policy).is_ok());
    refused(
        &[("kernel_params", "a")],
        &policy,
        ErrorKind::Denied,
        &["is not enabled"],
    );
    // A file name that only ends like an allowed path.
    refused(
        &[("kernel", "/tmp/opt/x")],
        &policy,
        ErrorKind::Denied,
        &["no allowed path"],
    );
}

#[test]
fn paths_that_do_not_say_where_they_lead() {
    for path in ["", "vmlinux", "./opt/x"] {
        refused(
            &[("kernel", path)],
            &everything(),
            ErrorKind::Invalid,
            &["not absolute"],
        );
    }
    for path in ["/opt/../etc/shadow", "/opt/./x", "/opt//x", "/opt/a\0"] {
        refused(
            &[("kernel", path)],
            &everything(),
            ErrorKind::Invalid,
            &["without dots"],
        );
    }
}

#[test]
fn an_image_and_an_initrd_exclude_each_other() {
    let both = [("image", "/opt/a"), ("initrd", "/opt/b")];
    refused(
        &both,
        &everything(),
        ErrorKind::Invalid,
        &["image", "initrd", "exclude each other"],
    );
}

#[test]
fn hashes() {
    let digest = "0".repeat(128);
    let alone = [("kernel_hash", &digest[..])];
    refused(
        &alone,
        &everything(),
        ErrorKind::Invalid,
        &["kernel_hash", "no asset to check"],
    );
    let crossed = [("kernel_hash", &digest[..]), ("image", "/opt/a")];
    refused(
        &crossed,
        &everything(),
        ErrorKind::Invalid,
        &["kernel_hash", "no asset to check"],
    );
    for text in ["", "ab", &"g".repeat(128), &"0".repeat(127)] {
        let rows = [("kernel", "/opt/a"), ("kernel_hash", text)];
        refused(
            &rows,
            &everything(),
            ErrorKind::Invalid,
            &["kernel_hash", "128"],
        );
    }
    let rows = [("kernel", "/opt/a"), (HASH_TYPE, "md5")];
    refused(
        &rows,
        &everything(),
        ErrorKind::Invalid,
        &[HASH_TYPE, "\"md5\"", "\"sha512\""],
    );
    // A hash is no way around the lists.
    let rows = [("kernel", "/opt/a"), ("kernel_hash", &digest[..])];
    refused(
        &rows,
        &policy(&[], &[]),
        ErrorKind::Denied,
        &["kernel is not enabled"],
    );
}

#[test]
fn unknown_annotations_are_refused_by_name() {
    for key in [
        "io.katacontainers.config.hypervisor.kernal",
        "io.katacontainers.config.hypervisor.",
        "io.katacontainers.config.hypervisor.machine_type",
        "io.katacontainers.config.runtime.sandbox_cgroup_only",
        "io.katacontainers.config.runtime.kernel",
        "io.katacontainers.config.hypervisor.disable_new_netns",
        "io.katacontainers.config.agent.kernel_modules",
        "io.katacontainers.config_path",
    ] {
        refused(
            &[(key, "x")],
            &everything(),
            ErrorKind::Invalid,
            &[key, "is not known"],
        );
    }
}

#[test]
fn values_that_cannot_be_understood() {
    for (name, value) in [
        ("default_vcpus", "0"),
        ("default_vcpus", "1.5"),
        ("default_memory", "much"),
        ("default_memory", "-1"),
    ] {
        refused(
            &[(name, value)],
            &everything(),
            ErrorKind::Invalid,
            &[name, "understood"],
        );
    }
}

#[test]
fn lists_that_cannot_be_meant() {
    for name in [
        "kernal",
        "io.katacontainers.config.hypervisor.kernel",
        "kernel_hash",
        "",
    ] {
        let error = AnnotationPolicy::new(vec![name.to_owned()], Vec::new()).unwrap_err();
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    let error = AnnotationPolicy::new(Vec::new(), vec!["opt/*".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("\"opt/*\""), "{error}");
}

#[test]
fn settings_of_the_network() {
    let rows = [
        ("internetworking_model", "macvtap"),
        ("disable_new_netns", "false"),
        ("disable_vhost_net", "true"),
        ("rx_rate_limiter_max_rate", "8000"),
        ("tx_rate_limiter_max_rate", "0"),
    ];
    let wanted = overrides(&annotations(&rows), &everything()).unwrap();
    let expected = NetworkOverrides {
        model: Some(virtcontainers_types::NetworkModel::MacVtap),
        disable_new_netns: Some(false),
        vhost: Some(false),
        inbound: Some(1000),
        outbound: Some(0),
    };
    assert_eq!(wanted.network, expected);
    let least = [("rx_rate_limiter_max_rate", "7")];
    let wanted = overrides(&annotations(&least), &everything()).unwrap();
    assert_eq!(wanted.network.inbound, Some(1), "a limit stays one");
    for (name, value) in [
        ("internetworking_model", "enlightened"),
        ("disable_new_netns", "1"),
        ("disable_vhost_net", ""),
        ("rx_rate_limiter_max_rate", "10M"),
        ("tx_rate_limiter_max_rate", "-1"),
    ] {
        refused(
            &[(name, value)],
            &everything(),
            ErrorKind::Invalid,
            &[name, &format!("{value:?}")],
        );
    }
}

#[test]
fn no_two_settings_end_alike() {
    let mut names: Vec<&str> = SETTINGS_BY_NAME.iter().map(|(_, end, _)| *end).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
