//! Tests of reading and refusing configurations.

use super::*;

fn load(text: &str, drop_ins: &[(&str, &str)]) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("configuration.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::create_dir(folder.path().join("config.d")).unwrap();
    for (name, text) in drop_ins {
        std::fs::write(folder.path().join("config.d").join(name), text).unwrap();
    }
    Config::load(Some(&file))
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(load("", &[]).unwrap(), Config::default());
}

#[test]
fn later_drop_ins_win_and_keep_the_rest() {
    let base = "[hypervisor.qemu]\nmemory = \"512M\"\nvcpus = 2\n";
    let config = load(
        base,
        &[
            ("20-b.toml", "[hypervisor.qemu]\nmemory = 1024"),
            ("10-a.toml", "[hypervisor.qemu]\nmemory = 384"),
            ("ignored.txt", "nonsense"),
        ],
    )
    .unwrap();
    assert_eq!(config.hypervisor.qemu.memory, Mebibytes(1024));
    assert_eq!(config.hypervisor.qemu.vcpus.count(), 2);
}

#[test]
fn an_unknown_key_names_file_and_nearest() {
    let rows = [
        ("[hypervisor.qemu]\nmemroy = 1", "hypervisor.qemu.memory"),
        (
            "[hypervisor.qemu]\nacelerator = \"tcg\"",
            "hypervisor.qemu.accelerator",
        ),
        ("[runtime]\nrot = \"/x\"", "runtime.root"),
        ("[agent.kata]\nstrat = \"polled\"", "agent.kata.start"),
        ("[hypervisor.qem]\nmemory = 1", "hypervisor.qemu.memory"),
        ("[network]\nmodle = \"none\"", "network.model"),
        ("[network.rate]\ninbuond = 1", "network.rate.inbound"),
        (
            "[network.rates.\"eth0.7\"]\ninbuond = 1",
            "network.rates.*.inbound",
        ),
    ];
    for (text, nearest) in rows {
        let error = load(text, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        assert!(
            message.contains(nearest) && message.contains("configuration.toml"),
            "{message}"
        );
    }
}

#[test]
fn wrong_values_are_refused() {
    for text in [
        "[hypervisor.qemu]\nmemory = \"1T\"",
        "[hypervisor.qemu]\nvcpus = 0",
        "[hypervisor.qemu]\naccelerator = \"warp\"",
        "[runtime]\nroot = \"relative\"",
        "[runtime]\ndeadline_factor = \"x\"",
        "[runtime]\nenable_annotations = [\"kernal\"]",
        "[runtime]\nenable_annotations = true",
        "[runtime]\nannotation_paths = [\"kernels/*\"]",
        "[network]\nmodel = \"enlightened\"",
        "[network]\nqueues = -1",
        "[network]\nrequired = true\nmodel = \"none\"",
        "[network.rate]\ninbound = \"10Mbit\"",
        "[network.rates]\neth0 = 5",
        "[network.vhost_user]\neth0 = \"relative\"",
        "not toml",
    ] {
        assert!(load(text, &[]).is_err(), "{text}");
    }
}

#[test]
fn a_missing_file_that_was_named_is_an_error() {
    let error = Config::load(Some(Path::new("/nonexistent/c.toml"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn the_files_that_are_read_are_named_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("config.d")).unwrap();
    for name in [
        "configuration.toml",
        "config.d/20.toml",
        "config.d/10.toml",
        "config.d/x.txt",
    ] {
        std::fs::write(path(name), "").unwrap();
    }
    let files = Config::files(Some(&path("configuration.toml"))).unwrap();
    let expected = ["configuration.toml", "config.d/10.toml", "config.d/20.toml"].map(path);
    assert_eq!(files, expected);
}

#[test]
fn a_debug_shell_is_asked_for_by_name_and_leaves_an_initrd_that_was_named() {
    let text = "[agent.kata]\ndebug_console_enabled = true\n\
                [hypervisor.qemu]\nkernel = \"/k\"\ninitrd = \"/own.img\"";
    let config = load(text, &[]).unwrap();
    assert!(config.agent.kata.debug_console_enabled);
    let assets = GuestAssets::find(&config).unwrap();
    assert_eq!(
        assets.root,
        virtcontainers_types::GuestRoot::Initrd("/own.img".into())
    );
}

#[test]
fn rates_and_sockets_are_by_the_names_of_interfaces() {
    let text = "[network]\nrequired = true\n[network.rates.\"eth0.7\"]\noutbound = \"1M\"\n\
                [network.vhost_user]\neth1 = \"/run/vswitch/eth1.sock\"\n";
    let more = "[network.rates.eth1]\ninbound = 4096\n";
    let network = load(text, &[("10.toml", more)]).unwrap().network;
    let names: Vec<&String> = network.rates.keys().collect();
    assert_eq!(names, ["eth0.7", "eth1"]);
    assert_eq!(network.rates["eth0.7"].outbound, ByteRate(1 << 20));
    assert_eq!(network.vhost_user.len(), 1);
    assert!(network.required && network.vhost);
}

/// What the documentation shows is what holds without a file.
#[test]
fn the_documented_sample_is_the_default() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let document = std::fs::read_to_string(document).unwrap();
    let sample = document
        .split("```")
        .find_map(|part| part.strip_prefix("toml\n"));
    assert_eq!(load(sample.unwrap(), &[]).unwrap(), Config::default());
}
