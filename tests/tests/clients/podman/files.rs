//! Volumes, read-only root file systems, file systems in memory.

use anyhow::{Result, ensure};

use super::Podman;

with_both!(crate::podman::with_podman:
    volumes_are_shared_and_may_be_read_only,
    the_root_file_system_may_be_read_only,
    files_are_copied_in_and_out,
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

fn files_are_copied_in_and_out(podman: &Podman) -> Result<()> {
    let place = podman.stage().place();
    let name = format!("/{}-there", place.prefix());
    podman.sleeping("copy")?;
    let result = copy(podman, &name);
    // Podman enters the mount namespace of the container's process on the host. Where that is the
    // host's own, the host's files are what it writes.
    let on_the_host = std::fs::remove_file(&name).is_ok();
    ensure!(!on_the_host, "podman cp wrote to the host: {result:?}");
    result?;
    podman.ok(["rm", "--force", "--time=0", "copy"]).map(drop)
}

fn copy(podman: &Podman, name: &str) -> Result<()> {
    let place = podman.stage().place();
    let (here, back) = (place.path("here"), place.path("back"));
    std::fs::write(&here, "copied\n")?;
    let (here, target) = (here.display().to_string(), back.display().to_string());
    let there = format!("copy:{name}");
    podman.ok(["cp", &here, &there])?;
    let seen = podman.ok(["exec", "copy", "cat", name])?.text();
    ensure!(seen == "copied\n", "{seen:?}");
    let append = format!("echo more >> {name}");
    podman.ok(["exec", "copy", "sh", "-c", &append])?;
    podman.ok(["cp", &there, &target])?;
    let copied = std::fs::read_to_string(back)?;
    ensure!(copied == "copied\nmore\n", "{copied:?}");
    Ok(())
}
