//! An image: a root file system on overlayfs, with a command and an environment of its own.

use anyhow::{Result, ensure};
use virtcontainers_tests::program::Program;

use super::Podman;

with_both!(crate::podman::with_podman: an_imported_image_is_run_and_written);

fn an_imported_image_is_run_and_written(podman: &Podman) -> Result<()> {
    let place = podman.stage().place();
    let archive = place.path("image.tar").display().to_string();
    let rootfs = place.rootfs().display().to_string();
    let pack = ["-C", &rootfs, "-cf", &archive, "."];
    let pack = pack
        .iter()
        .fold(Program::new("tar"), |tar, word| tar.arg(*word));
    pack.finish()?.expect(0)?;
    let image = format!("localhost/{}:test", place.prefix());
    podman.ok([
        "import",
        "--change=CMD [\"/bin/sh\", \"-c\", \"echo from $WHO\"]",
        "--change=ENV WHO=image",
        &archive,
        &image,
    ])?;
    let run = podman.run_of(&image, &["--rm"], &[]).finish()?.expect(0)?;
    ensure!(run.text() == "from image\n", "{:?}", run.text());

    let script = "echo new > /new; rm /bin/zcat; echo more >> /etc/passwd";
    let run = podman.run_of(&image, &["--name", "writes"], &["sh", "-c", script]);
    run.finish()?.expect(0)?;
    let changes = podman.ok(["diff", "writes"])?.text();
    for change in ["A /new", "D /bin/zcat", "C /etc/passwd"] {
        ensure!(changes.lines().any(|line| line == change), "{changes}");
    }
    podman.ok(["rm", "writes"])?;
    podman.ok(["rmi", &image]).map(drop)
}
