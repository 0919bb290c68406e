//! Golden files: `tests/golden/NAME.input.json` is what was seen and configured, `NAME.plan.json`
//! what is done. To accept a change, run the tests once with `VC_UPDATE_GOLDEN=1` and read the
//! difference.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

mod added;

use super::plan;
use crate::{Config, ErrorKind, Plan, View};

#[derive(Deserialize)]
struct Input {
    view: View,
    config: Config,
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(golden(&format!("{name}.input.json"))).expect("the input is there")
}

fn check(name: &str) -> Plan {
    let input: Input = serde_json::from_str(&text(name)).expect("the input is one");
    let plan = plan(&input.view, &input.config).expect("a plan");
    let text = serde_json::to_string_pretty(&plan).expect("JSON") + "\n";
    let file = golden(&format!("{name}.plan.json"));
    if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&file).expect("the golden file is there");
    assert_eq!(text, expected, "{}", file.display());
    let stored: Plan = serde_json::from_str(&text).expect("a plan is read back");
    assert_eq!(stored, plan);
    plan
}

#[test]
fn traffic_filters() {
    check("tcfilter");
}

#[test]
fn macvtap() {
    check("macvtap");
}

#[test]
fn bridge() {
    check("bridged");
}

#[test]
fn no_connection() {
    assert!(check("none").endpoints.is_empty());
}

#[test]
fn several_interfaces_of_which_one_is_down_and_one_has_no_address() {
    check("two");
}

#[test]
fn a_later_interface_alone_with_a_rate() {
    check("hot");
}

#[test]
fn every_kind_of_endpoint() {
    check("kinds");
}

#[test]
fn what_a_guest_cannot_have_is_named() {
    check("policy");
}

#[test]
fn the_order_of_what_was_seen_does_not_matter() {
    let input: Input = serde_json::from_str(&text("two")).expect("the input is one");
    let mut view = input.view.clone();
    view.links.reverse();
    assert_eq!(
        plan(&view, &input.config).expect("a plan"),
        plan(&input.view, &input.config).expect("a plan")
    );
}

#[test]
fn each_effect_has_its_undo_entry() {
    let plan = check("two");
    let entries = plan.undo_entries().expect("entries");
    let effects = plan.endpoints.iter().map(|endpoint| endpoint.effects.len());
    assert_eq!(entries.len(), effects.sum::<usize>());
    let payload = &entries[0].payload;
    assert_eq!(payload["effect"], "change");
    assert_eq!(payload["namespace"]["inode"], 4_026_532_248_u64);
    assert_eq!(payload["change"]["do"], "tap");
}

/// What is put at a JSON pointer of an input, the kind of the refusal, and a word of its message.
type Refusal = (&'static str, &'static str, Value, ErrorKind, &'static str);

#[test]
fn refusals() {
    let rows: [Refusal; 15] = [
        (
            "two",
            "/view/links/2/mac",
            json!("02:00:5e:10:00:07"),
            ErrorKind::Invalid,
            "02:00:5e:10:00:07",
        ),
        (
            "two",
            "/view/links/2/mac",
            json!("00:00:00:00:00:00"),
            ErrorKind::Invalid,
            "eth0",
        ),
        (
            "two",
            "/view/links/2/mac",
            json!("01:00:5e:10:00:07"),
            ErrorKind::Invalid,
            "eth0",
        ),
        (
            "two",
            "/view/links/2/mac",
            json!(null),
            ErrorKind::Invalid,
            "eth0",
        ),
        (
            "two",
            "/view/links/2/name",
            json!("net1"),
            ErrorKind::Invalid,
            "net1",
        ),
        (
            "two",
            "/view/links/2/kind",
            json!("wireguard"),
            ErrorKind::Unsupported,
            "wireguard",
        ),
        (
            "two",
            "/view/links/2/kind",
            json!(""),
            ErrorKind::Unsupported,
            "eth0",
        ),
        (
            "kinds",
            "/view/links/4/tun",
            json!("tun"),
            ErrorKind::Unsupported,
            "tap0",
        ),
        (
            "kinds",
            "/view/links/5/device/bus",
            json!("virtio"),
            ErrorKind::Unsupported,
            "virtio",
        ),
        (
            "two",
            "/view/routes/1/link",
            json!(99),
            ErrorKind::Invalid,
            "99",
        ),
        (
            "two",
            "/config",
            json!({"max_interfaces": 1}),
            ErrorKind::Invalid,
            "eth0, net1",
        ),
        (
            "two",
            "/config",
            json!({"only": ["net2"]}),
            ErrorKind::NotFound,
            "net2",
        ),
        (
            "two",
            "/config",
            json!({"only": ["spare"]}),
            ErrorKind::Invalid,
            "no address",
        ),
        (
            "two",
            "/config",
            json!({"limit": {"inbound": 0}}),
            ErrorKind::Invalid,
            "eth0",
        ),
        (
            "macvtap",
            "/config/limit",
            json!({"inbound": 1}),
            ErrorKind::Unsupported,
            "tcfilter",
        ),
    ];
    for (name, pointer, value, kind, word) in rows {
        let error = refused(name, &[(pointer, value.clone())]);
        assert_eq!(error.kind(), kind, "{pointer} {value}: {error}");
        assert!(error.to_string().contains(word), "{error}");
        let namespaces = error.to_string().matches("/run/netns/web").count();
        assert_eq!(namespaces, 1, "{error}");
    }
}

#[test]
fn a_limit_of_somebody_else_is_not_replaced() {
    let qdisc = json!({"link": 3, "kind": "htb", "handle": 65536, "parent": 0xffff_ffff_u32});
    let changes = [
        ("/view/qdiscs/1", qdisc),
        ("/config", json!({"limit": {"outbound": 1000}})),
    ];
    let error = refused("tcfilter", &changes);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("htb"), "{error}");
}

fn refused(name: &str, changes: &[(&str, Value)]) -> crate::Error {
    let input = changed(name, changes);
    plan(&input.view, &input.config).expect_err("it is refused")
}

/// An input with other values at some places.
fn changed(name: &str, changes: &[(&str, Value)]) -> Input {
    let mut input: Value = serde_json::from_str(&text(name)).expect("JSON");
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        match input.pointer_mut(parent).expect("a place") {
            Value::Array(array) => array[key.parse::<usize>().expect("a number")] = value.clone(),
            Value::Object(object) => drop(object.insert(key.to_owned(), value.clone())),
            other => panic!("{pointer} is in {other}"),
        }
    }
    serde_json::from_value(input).expect("the input is still one")
}
