//! The checked-in code under `src/generated` is what the generator makes of `proto/` today.
//!
//! `UPDATE_GENERATED=1 cargo test -p virtcontainers-agent-proto --test codegen` rewrites it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ttrpc_codegen::{Codegen, Customize, ProtobufCustomize};

fn generate(proto: &Path, out: &Path) {
    let mut inputs: Vec<PathBuf> = fs::read_dir(proto)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    inputs.sort();
    Codegen::new()
        .out_dir(out)
        .include(proto)
        .inputs(inputs)
        .rust_protobuf()
        .customize(Customize {
            async_all: true,
            ..Default::default()
        })
        .rust_protobuf_customize(
            // No reflection and no accessors, because the guest pays for every page of its
            // agent; sorted maps, because encoding must not depend on a hash seed.
            ProtobufCustomize::default()
                .lite_runtime(true)
                .generate_accessors(false)
                .btreemaps(true)
                .gen_mod_rs(false),
        )
        .run()
        .unwrap();
}

fn contents(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked_in = root.join("src/generated");
    let fresh = tempfile::tempdir().unwrap();
    generate(&root.join("proto"), fresh.path());
    let fresh = contents(fresh.path());

    if std::env::var_os("UPDATE_GENERATED").is_some() {
        for name in contents(&checked_in).keys() {
            fs::remove_file(checked_in.join(name)).unwrap();
        }
        for (name, text) in &fresh {
            fs::write(checked_in.join(name), text).unwrap();
        }
        return;
    }

    let stored = contents(&checked_in);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&stored), names(&fresh), "files under src/generated");
    for (name, text) in &fresh {
        assert!(
            stored[name] == *text,
            "src/generated/{name} differs from what proto/ generates; \
             rerun this test with UPDATE_GENERATED=1 and look at the difference"
        );
    }
}
