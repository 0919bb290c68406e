//! Tiny programs for the guest, built on the spot: each does one thing, in C so that nothing else
//! of a language's start-up is measured with it.
#![expect(
    clippy::disallowed_methods,
    reason = "a compiler is run for the measurement only"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// An init that only powers off.
const POWER_OFF: &str = r"
#include <sys/reboot.h>
int main(void) { return reboot(RB_POWER_OFF); }
";

/// Writes so many bytes to a port of the host, or to standard output when the port is 0.
const STREAM: &str = r#"
#include <stdlib.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
static char block[65536];
int main(int count, char **words) {
    struct sockaddr_vm host = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST };
    long left = count > 2 ? atol(words[2]) : 0;
    int out = 1;
    host.svm_port = count > 1 ? atoi(words[1]) : 0;
    if (host.svm_port) {
        out = socket(AF_VSOCK, SOCK_STREAM, 0);
        if (connect(out, (struct sockaddr *)&host, sizeof host)) return 1;
    }
    while (left > 0) {
        long wanted = left < (long)sizeof block ? left : (long)sizeof block;
        long written = write(out, block, wanted);
        if (written <= 0) return 2;
        left -= written;
    }
    return 0;
}
"#;

/// Serves until it is told to end: at port 5001 reads to the end and answers with one byte, at port 5002 reads
/// a number in eight bytes and writes as many, at port 5003 gives back each byte.
const SERVE: &str = r#"
#include <signal.h>
#include <stdint.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
static char block[65536];
static void serve(int peer, int port) {
    ssize_t got;
    int yes = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (port == 5001) {
        while (read(peer, block, sizeof block) > 0);
        write(peer, block, 1);
    } else if (port == 5002) {
        uint64_t left;
        if (recv(peer, &left, sizeof left, MSG_WAITALL) != sizeof left) return;
        while (left > 0) {
            got = write(peer, block, left < sizeof block ? left : sizeof block);
            if (got <= 0) return;
            left -= got;
        }
    } else {
        while ((got = read(peer, block, sizeof block)) > 0) write(peer, block, got);
    }
}
int main(void) {
    signal(SIGCHLD, SIG_IGN);
    signal(SIGTERM, _exit);
    for (int port = 5001; port < 5004; port++) {
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
        int yes = 1, socket_ = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(socket_, (struct sockaddr *)&any, sizeof any) || listen(socket_, 8)) return 1;
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) {
                int peer = accept(socket_, 0, 0);
                if (peer < 0) return 2;
                if (fork() == 0) { serve(peer, port); return 0; }
                close(peer);
            }
        }
        close(socket_);
    }
    write(1, "up\n", 3);
    for (;;) pause();
}
"#;

/// Builds the program that serves TCP as `path`.
pub(crate) fn serve(path: &Path) -> Result<()> {
    build(SERVE, path)
}

/// Builds the program that streams as `path`.
pub(crate) fn stream(path: &Path) -> Result<()> {
    build(STREAM, path)
}

/// Builds an initial RAM disk in `folder` whose init only powers off.
pub(crate) fn initrd_that_powers_off(folder: &Path) -> Result<PathBuf> {
    let init = folder.join("init");
    build(POWER_OFF, &init)?;
    let initrd = folder.join("off.img");
    fs::write(&initrd, archive("init", &fs::read(init)?)?)?;
    Ok(initrd)
}

fn build(source: &str, program: &Path) -> Result<()> {
    let mut compiler = Command::new("cc")
        .args(["-static", "-O2", "-s", "-x", "c", "-", "-o"])
        .arg(program)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run cc, which Rust links with too: install gcc and libc6-dev")?;
    let mut input = compiler.stdin.take().context("no standard input")?;
    input.write_all(source.as_bytes())?;
    drop(input);
    let status = compiler.wait()?;
    anyhow::ensure!(status.success(), "cc: {status}");
    Ok(())
}

/// One executable file as an initial root file system ("newc", the kernel's
/// `Documentation/driver-api/early-userspace/buffer-format.rst`).
fn archive(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (number, mode, name, content) in
        [(1, 0o100_755, name, content), (0, 0, "TRAILER!!!", &[][..])]
    {
        let size = u32::try_from(content.len())?;
        let length = u32::try_from(name.len() + 1)?;
        archive.extend(b"070701");
        for field in [number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0] {
            archive.extend(format!("{field:08x}").as_bytes());
        }
        archive.extend(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    Ok(archive)
}
