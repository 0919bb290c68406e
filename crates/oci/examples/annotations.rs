//! Shows what annotations change, and what a refusal says:
//! `cargo run -p virtcontainers-oci --example annotations -- NAME=VALUE...`

use std::collections::BTreeMap;
use std::error::Error;

use virtcontainers_oci::{AnnotationPolicy, overrides};

fn main() -> Result<(), Box<dyn Error>> {
    let allowed = vec!["default_*".to_owned(), "kernel".to_owned()];
    let policy = AnnotationPolicy::new(allowed, vec!["/opt/kernels/*".to_owned()])?;
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    if given.is_empty() {
        given = [
            "kernel=/opt/kernels/vmlinux",
            "default_memory=512",
            "kernel=/tmp/vmlinux",
            "initrd=/i",
        ]
        .map(str::to_owned)
        .into();
    }
    for entry in given {
        let (name, value) = entry.split_once('=').ok_or("write NAME=VALUE")?;
        let key = format!("io.katacontainers.config.hypervisor.{name}");
        match overrides(&BTreeMap::from([(key, value.to_owned())]), &policy) {
            Ok(wanted) => println!("{entry}: {wanted:?}"),
            Err(error) => println!("{entry}: refused: {error}"),
        }
    }
    Ok(())
}
