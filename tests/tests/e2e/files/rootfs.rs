//! Root file systems: read-only, and made of layers.

use anyhow::Result;
use virtcontainers_tests::Place;

#[test]
fn a_read_only_root_leaves_volumes_and_memory_writable() -> Result<()> {
    let place = Place::new()?;
    std::fs::create_dir(place.path("volume"))?;
    let option = format!("{}:/mnt/deep/v", place.path("volume").display());
    let script =
        "touch /x 2>/dev/null || echo refused; touch /mnt/deep/v/x /dev/shm/x && echo written";
    let run = place
        .run(
            &place.id("ro"),
            ["--read-only", "--volume", &option],
            ["sh", "-c", script],
        )
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "refused\nwritten\n");
    assert!(place.path("volume/x").exists());
    assert!(!place.rootfs().join("x").exists());
    place.assert_clean()
}

#[test]
fn a_root_on_overlayfs_is_written_in_its_upper_layer() -> Result<()> {
    let place = Place::new()?;
    let layers = place.path("layers");
    std::fs::create_dir(&layers)?;
    std::fs::write(place.rootfs().join("lower"), "lower\n")?;
    std::fs::write(place.rootfs().join("gone"), "")?;
    // In a mount namespace of its own, which takes the mounts with it.
    let around = format!(
        "mount -t tmpfs layers '{layers}' && cd '{layers}' && mkdir upper work merged && \
         mount -t overlay -o 'lowerdir={rootfs},upperdir=upper,workdir=work' overlay merged && \
         \"$0\" \"$@\"; status=$?; cat upper/lower upper/new; stat -c %F upper/gone; exit $status",
        layers = layers.display(),
        rootfs = place.rootfs().display(),
    );
    let script = "cat /lower; echo upper >> /lower; echo new > /new; rm /gone; ls /gone 2>&1 | wc -l; \
                  mv /etc/passwd /etc/moved && grep -c root /etc/moved";
    let merged = layers.join("merged").display().to_string();
    let id = place.id("overlay");
    let run = place
        .vc(["run", "--rootfs", &merged, &id, "--", "sh", "-c", script])
        .under(["unshare", "--mount", "sh", "-c", &around])
        .finish()?
        .expect(0)?;
    assert_eq!(
        run.text(),
        "lower\n1\n1\nlower\nupper\nnew\ncharacter special file\n"
    );
    let kept = std::fs::read_to_string(place.rootfs().join("lower"))?;
    assert_eq!(kept, "lower\n", "the layer below is as it was");
    place.assert_clean()
}
