//! Long paths, relative paths, and both kinds of root mount.

use anyhow::Result;
use virtcontainers_tests::Place;

#[test]
fn a_state_root_longer_than_a_sockets_name_may_be() -> Result<()> {
    let place = Place::with_root(&format!("{}/{}", "d".repeat(120), "e".repeat(120)))?;
    let run = place
        .run(&place.id("long"), [], ["echo", "long"])
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "long\n");
    place.assert_clean()
}

#[test]
fn works_where_the_root_mount_is_shared_and_where_it_is_private() -> Result<()> {
    for propagation in ["shared", "private"] {
        let place = Place::new()?;
        let volume = format!("{}:/volume", place.path("volume").display());
        std::fs::create_dir(place.path("volume"))?;
        std::fs::write(place.path("volume").join("file"), propagation)?;
        let run = place
            .run(
                &place.id(propagation),
                ["--volume", &volume],
                ["cat", "/volume/file"],
            )
            .under(["unshare", "--mount", "--propagation", propagation])
            .finish()?
            .expect(0)?;
        assert_eq!(run.text(), propagation);
        place.assert_clean()?;
    }
    Ok(())
}

#[test]
fn a_relative_state_root_is_refused() -> Result<()> {
    let place = Place::new()?;
    let run = place.vc(["--root", "relative", "list"]).finish()?;
    assert_ne!(run.status, 0);
    place.assert_clean()
}

#[test]
fn links_inside_the_root_file_system_stay_inside() -> Result<()> {
    let place = Place::new()?;
    std::os::unix::fs::symlink("/bin/busybox", place.rootfs().join("link"))?;
    std::os::unix::fs::symlink("/proc/1/root/etc/shadow", place.rootfs().join("outside"))?;
    let script = "readlink /link; cat /outside 2>/dev/null; true";
    let run = place
        .run(&place.id("links"), [], ["sh", "-c", script])
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "/bin/busybox\n");
    place.assert_clean()
}
