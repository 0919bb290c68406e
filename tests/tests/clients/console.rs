//! Console sockets: the runtime makes the terminal, and hands its controlling side to whoever listens.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use virtcontainers_tests::pty::Pty;

use crate::direct::Direct;
use crate::left::await_end;
use crate::stage::{Runtime, Stage};

/// How long a runtime may take to hand a terminal over, in seconds.
const PATIENCE_S: i64 = 120;

with_both!(crate::direct::with_runtime:
    a_terminal_is_handed_over,
    a_terminal_that_nobody_takes_is_refused,
);

/// A socket on which terminals are taken.
struct Taker {
    listener: UnixListener,
    path: PathBuf,
}

impl Taker {
    fn new(stage: &Stage, name: &str) -> Result<Self> {
        let path = stage.place().path(name);
        Ok(Self {
            listener: UnixListener::bind(&path)?,
            path,
        })
    }

    /// The terminal, and the data that came with it.
    fn take(&self) -> Result<(Pty, String)> {
        let patience = Timespec {
            tv_sec: PATIENCE_S,
            tv_nsec: 0,
        };
        let mut called = [PollFd::new(&self.listener, PollFlags::IN)];
        ensure!(poll(&mut called, Some(&patience))? == 1, "nobody calls");
        let (stream, _) = self.listener.accept()?;
        let mut data = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [std::io::IoSliceMut::new(&mut data)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let length = recvmsg(&stream, &mut buffers, &mut ancillary, flags)?.bytes;
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        let count = descriptors.len();
        ensure!(count == 1, "{count} descriptors instead of one");
        let terminal = descriptors.pop().context("no descriptor")?;
        let data = String::from_utf8_lossy(&data[..length]).into_owned();
        Ok((Pty::of_controller(terminal), data))
    }

    fn option(&self) -> String {
        self.path.display().to_string()
    }
}

fn a_terminal_is_handed_over(stage: &Stage) -> Result<()> {
    let direct = Direct::bundle(stage, "tty", true, &["sh"])?;
    let taker = Taker::new(stage, "first.sock")?;
    let create = direct.creation(&["--console-socket", &taker.option()])?;
    let create = create.start()?;
    let (mut pty, data) = taker.take()?;
    let status = create.finish()?.status;
    let (stdout, stderr) = direct.outputs()?;
    ensure!(
        status == 0 && stdout.is_empty(),
        "{status} {stdout:?} {stderr}"
    );
    match stage.runtime() {
        Runtime::Vc => ensure!(data == pty.name()?, "{data:?} is not {}", pty.name()?),
        // It names the device from which all terminals are made.
        Runtime::Runc => ensure!(data.starts_with("/dev/"), "{data:?}"),
    }
    let state = direct.state()?.context("no state")?;
    let pid = direct.pid()?;
    ensure!(
        state["pid"] == pid.as_raw_nonzero().get(),
        "{state} and not {pid:?}"
    );
    direct.ok(["start", direct.id()])?;
    talk(&mut pty)?;

    exec(stage, &direct)?;

    pty.write("exit 9\n")?;
    await_end(pid)?;
    pty.read_to_end()?;
    ensure!(direct.status()?.as_deref() == Some("stopped"));
    direct.delete()
}

/// One more process on a terminal of its own, which is left alone and goes on.
fn exec(stage: &Stage, direct: &Direct<'_>) -> Result<()> {
    let taker = Taker::new(stage, "second.sock")?;
    let pid_file = stage.place().path("exec.pid");
    let exec = stage
        .call(["exec", "--detach", "--tty", "--console-socket"])
        .arg(taker.option())
        .arg("--pid-file")
        .arg(&pid_file)
        .arg(direct.id())
        .arg("sh")
        .output_to(&stage.place().path("."))?
        .start()?;
    let (mut pty, _) = taker.take()?;
    let status = exec.finish()?.status;
    let complaints = std::fs::read_to_string(stage.place().path("stderr"))?;
    ensure!(status == 0, "exec: status {status}: {complaints}");
    let pid = std::fs::read_to_string(&pid_file)?.trim().parse()?;
    let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
    talk(&mut pty)?;
    pty.write("exit 3\n")?;
    await_end(pid)?;
    pty.read_to_end()
}

/// A size that is set on our side is the size there.
fn talk(pty: &mut Pty) -> Result<()> {
    pty.read_until("# ")?;
    for (rows, columns) in [(44, 88), (22, 66)] {
        pty.resize(rows, columns)?;
        pty.await_size(rows, columns)?;
    }
    Ok(())
}

fn a_terminal_that_nobody_takes_is_refused(stage: &Stage) -> Result<()> {
    let taken = Taker::new(stage, "taken.sock")?.option();
    let nobody = stage.place().path("nobody.sock").display().to_string();
    let rows: [(&str, bool, &[&str]); 3] = [
        ("absent", true, &[]),
        ("nobody", true, &["--console-socket", &nobody]),
        ("without", false, &["--console-socket", &taken]),
    ];
    for (name, terminal, options) in rows {
        let direct = Direct::bundle(stage, name, terminal, &["sh"])?;
        let status = direct.creation(options)?.finish()?.status;
        let (stdout, stderr) = direct.outputs()?;
        ensure!(status == 1, "{name}: status {status}");
        ensure!(
            stdout.is_empty() && !stderr.is_empty(),
            "{name}: {stdout:?}"
        );
        ensure!(direct.status()?.is_none(), "{name}: something was created");
        ensure!(direct.pid().is_err(), "{name}: a pid file was written");
    }
    Ok(())
}
