//! A terminal whose master somebody else holds: it is sent to a socket of theirs.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Who has the terminal of a process, as the command line and the process ask for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Console<'a> {
    /// There is none.
    None,
    /// The caller's own, while this command stays.
    Own,
    /// A new one, whose master is sent to this socket.
    Socket(&'a Path),
}

impl<'a> Console<'a> {
    /// Refuses what does not go together. `stays` when this command stays with the process.
    pub(super) fn choose(
        socket: Option<&'a Path>,
        terminal: bool,
        stays: bool,
    ) -> anyhow::Result<Self> {
        match (socket, terminal) {
            (None, false) => Ok(Self::None),
            (None, true) if stays => Ok(Self::Own),
            (None, true) => bail!(
                "the process wants a terminal, and nobody would hold it: name a --console-socket, or \
                 ask for no terminal"
            ),
            (Some(socket), true) if !stays => Ok(Self::Socket(socket)),
            (Some(_), true) => bail!(
                "a --console-socket is for processes that are left alone: add --detach, or leave it \
                 out"
            ),
            (Some(_), false) => bail!(
                "there is a --console-socket, and the process wants no terminal: leave it out, or set \
                 process.terminal"
            ),
        }
    }
}

/// Makes a terminal and sends its master, with the slave's path as data. Gives the slave, which is raw:
/// the guest's terminal does what a terminal does.
pub(super) fn send_master(socket: &Path) -> anyhow::Result<OwnedFd> {
    let failed = || {
        format!(
            "cannot send a terminal to the console socket {}: somebody must listen there",
            socket.display()
        )
    };
    let stream = listener(socket).with_context(failed)?;
    let (master, slave, name) = pair().context("cannot make a terminal")?;
    send(&stream, &master, name.as_bytes()).with_context(failed)?;
    Ok(slave)
}

fn listener(socket: &Path) -> rustix::io::Result<OwnedFd> {
    let stream = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&stream, &SocketAddrUnix::new(socket)?)?;
    Ok(stream)
}

fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd, String)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(&*name, flags, Mode::empty())?;
    let mut attributes = tcgetattr(&slave)?;
    attributes.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &attributes)?;
    Ok((master, slave, name.to_string_lossy().into_owned()))
}

fn send(stream: &OwnedFd, master: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    let masters = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(&masters));
    sendmsg(
        stream,
        &[IoSlice::new(name)],
        &mut rights,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read, Write};
    use std::os::unix::net::UnixListener;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use rustix::termios::LocalModes;

    use super::*;

    #[test]
    fn the_master_arrives_with_the_name_of_a_raw_slave() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let slave = send_master(&path).unwrap();

        let (stream, _) = listener.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut data = [0; 64];
        let got = recvmsg(
            &stream,
            &mut [IoSliceMut::new(&mut data)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        let mut sent = rights.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut all) => all.next(),
            _ => None,
        });
        let master = sent.next().unwrap();
        let name = std::str::from_utf8(&data[..got.bytes]).unwrap();
        assert_eq!(
            name,
            ptsname(&master, Vec::new()).unwrap().to_str().unwrap()
        );

        let modes = tcgetattr(&slave).unwrap().local_modes;
        assert!(!modes.intersects(LocalModes::ECHO | LocalModes::ICANON));
        let mut slave = std::fs::File::from(slave);
        let mut master = std::fs::File::from(master);
        slave.write_all(b"a\n").unwrap();
        let mut read = [0; 8];
        let count = master.read(&mut read).unwrap();
        assert_eq!(&read[..count], b"a\n", "a raw terminal adds nothing");
    }

    #[test]
    fn a_socket_where_nobody_listens_is_named() {
        let error = send_master(Path::new("/nosuch/console.sock")).unwrap_err();
        assert!(error.to_string().contains("/nosuch/console.sock"));
    }

    #[test]
    fn terminals_and_sockets_that_go_together() {
        let socket = Path::new("/run/console.sock");
        let choose = |given: bool, terminal, stays| {
            Console::choose(given.then_some(socket), terminal, stays)
        };
        assert_eq!(choose(false, false, true).unwrap(), Console::None);
        assert_eq!(choose(false, false, false).unwrap(), Console::None);
        assert_eq!(choose(false, true, true).unwrap(), Console::Own);
        assert_eq!(choose(true, true, false).unwrap(), Console::Socket(socket));
        for (given, terminal, stays) in [
            (false, true, false),
            (true, true, true),
            (true, false, false),
            (true, false, true),
        ] {
            assert!(choose(given, terminal, stays).is_err());
        }
    }
}
