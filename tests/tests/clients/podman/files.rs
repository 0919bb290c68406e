//! Volumes, read-only root file systems, file systems in memory.

use anyhow::{Result, ensure};

use super::Podman;

with_both!(crate::podman::with_podman:
    volumes_are_shared_and_may_be_read_only,
    the_root_file_system_may_be_read_only,
);

fn volumes_are_shared_and_may_be_read_only(podman: &Podman) -> Result<()> {
    let place = podman.stage().place();
    let (open, closed) = (place.path("open"), place.path("closed"));
    for folder in [&open, &closed] {
        std::fs::create_dir(folder)?;
        std::fs::write(folder.join("in"), "from the host\n")?;
    }
    let volumes = [
        format!("{}:/open", open.display()),
        format!("{}:/closed:ro", closed.display()),
    ];
    let script = "cat /open/in /closed/in; echo back > /open/out; \
        echo x 2>/dev/null > /closed/out || echo refused";
    let options = ["--rm", "--volume", &volumes[0], "--volume", &volumes[1]];
    let run = podman.run(&options, &["sh", "-c", script]).finish()?;
    let text = run.expect(0)?.text();
    ensure!(
        text == "from the host\nfrom the host\nrefused\n",
        "{text:?}"
    );
    ensure!(std::fs::read_to_string(open.join("out"))? == "back\n");
    ensure!(
        !closed.join("out").exists(),
        "a read-only volume was written"
    );
    Ok(())
}

fn the_root_file_system_may_be_read_only(podman: &Podman) -> Result<()> {
    let script = "touch /x 2>/dev/null || echo refused; touch /scratch/x && echo scratch; \
        grep ' /scratch ' /proc/mounts | cut -d ' ' -f 3; \
        dd if=/dev/zero of=/scratch/big bs=1M count=3 2>/dev/null || echo full; \
        touch /run/x && echo run";
    let options = ["--rm", "--read-only", "--tmpfs", "/scratch:size=2m"];
    let run = podman.run(&options, &["sh", "-c", script]).finish()?;
    let text = run.expect(0)?.text();
    ensure!(text == "refused\nscratch\ntmpfs\nfull\nrun\n", "{text:?}");
    let written = podman.stage().place().rootfs().join("x").exists();
    ensure!(!written, "a read-only root file system was written");
    Ok(())
}
