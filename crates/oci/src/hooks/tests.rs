//! Hooks of written-out bundles.

use serde_json::{Value, json};

use super::*;

fn spec(hooks: Value) -> Spec {
    let spec = json!({"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "hooks": hooks});
    serde_json::from_value(spec).expect("a specification")
}

fn refused(hooks: Value) -> Error {
    HookPlans::of(&spec(hooks)).expect_err("a refusal")
}

#[test]
fn each_kind_has_its_own_list_in_the_order_of_the_bundle() {
    let lists = HookKind::ALL.map(|kind| {
        let hooks = ["b", "a"].map(|name| json!({"path": format!("/{kind}/{name}")}));
        (kind.name().to_owned(), Value::from(hooks.to_vec()))
    });
    let plans = HookPlans::of(&spec(Value::Object(lists.into_iter().collect()))).expect("hooks");
    for kind in HookKind::ALL {
        let paths: Vec<_> = plans.get(kind).iter().map(|plan| &plan.path).collect();
        let expected = ["b", "a"].map(|name| PathBuf::from(format!("/{kind}/{name}")));
        assert_eq!(paths, expected.iter().collect::<Vec<_>>(), "{kind}");
    }
}

#[test]
fn a_hook_is_taken_as_it_is() {
    let plans = HookPlans::of(&spec(json!({"poststop": [
        {"path": "/bin/a", "args": ["other", "-x"], "env": ["A=1", "A=2"], "timeout": 7},
        {"path": "/bin/b"},
    ]})));
    let expected = [
        HookPlan {
            path: "/bin/a".into(),
            args: vec!["other".into(), "-x".into()],
            env: vec!["A=1".into(), "A=2".into()],
            timeout_s: NonZeroU64::new(7),
        },
        HookPlan {
            path: "/bin/b".into(),
            args: Vec::new(),
            env: Vec::new(),
            timeout_s: None,
        },
    ];
    let plans = plans.expect("hooks");
    assert_eq!(plans.get(HookKind::Poststop), expected);
    assert_eq!(plans.get(HookKind::Poststart), []);
    assert!(!plans.is_empty());
}

#[test]
fn a_bundle_without_hooks_has_none() {
    for hooks in [json!(null), json!({}), json!({"poststart": []})] {
        assert!(HookPlans::of(&spec(hooks)).expect("hooks").is_empty());
    }
}

#[test]
fn what_cannot_be_run_is_refused_by_list_and_place() {
    let good = json!({"path": "/bin/true"});
    let rows = [
        (json!({"path": "bin/a"}), "\"bin/a\""),
        (json!({"path": ""}), "not absolute"),
        (json!({"path": "/a", "timeout": 0}), "timeout of 0 s"),
        (json!({"path": "/a", "timeout": -1}), "timeout of -1 s"),
        (json!({"path": "/a\0"}), "zero byte"),
        (json!({"path": "/a", "args": ["a", "\0"]}), "zero byte"),
        (json!({"path": "/a", "env": ["A=\0"]}), "zero byte"),
    ];
    for (bad, part) in rows {
        for kind in HookKind::ALL {
            let error = refused(json!({kind.name(): [good, bad]}));
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = error.to_string();
            let place = format!("hooks.{kind}[1] ");
            assert!(text.starts_with(&place) && text.contains(part), "{text}");
        }
    }
}

#[test]
fn hooks_before_the_program_runs_are_fatal() {
    let fatal = HookKind::ALL.map(HookKind::is_fatal);
    assert_eq!(fatal, [true, true, true, true, false, false]);
}

#[test]
fn the_state_has_all_fields_of_the_specification() {
    let annotations = BTreeMap::from([("a.b/c".to_owned(), "d".to_owned())]);
    let bytes = state_json("c1", "created", Some(42), Path::new("/b"), &annotations);
    let state: Value = serde_json::from_slice(&bytes.expect("a state")).expect("JSON");
    let expected = json!({
        "ociVersion": "1.2.0",
        "id": "c1",
        "status": "created",
        "pid": 42,
        "bundle": "/b",
        "annotations": {"a.b/c": "d"},
    });
    assert_eq!(state, expected);

    let bytes = state_json("c1", "stopped", None, Path::new("/b"), &BTreeMap::new());
    let state: Value = serde_json::from_slice(&bytes.expect("a state")).expect("JSON");
    let fields: Vec<&str> = state
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, ["bundle", "id", "ociVersion", "status"]);
}

#[test]
fn a_bundle_whose_path_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let bundle = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
    let error = state_json("c1", "creating", None, bundle, &BTreeMap::new());
    assert_eq!(error.expect_err("a refusal").kind(), ErrorKind::Invalid);
}
