//! Refuses to link the static agent against the shared libseccomp: the linker would not say a
//! word, and the agent would crash at its start.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBSECCOMP_LINK_TYPE");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    let link = env::var("LIBSECCOMP_LINK_TYPE").unwrap_or_default();
    if is_static && link != "static" {
        println!(
            "cargo::error=the static agent needs the static libseccomp: set \
             LIBSECCOMP_LINK_TYPE=static and LIBSECCOMP_LIB_PATH to the folder of libseccomp.a \
             (`cargo xtask guest` does)"
        );
    }
}
