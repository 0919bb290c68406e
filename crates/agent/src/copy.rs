//! Whole files, directories and links for the directory shared with the guest, for guests that
//! cannot see the host's.

use tokio::io::{AsyncRead, AsyncReadExt};
use virtcontainers_agent_proto::agent::CopyFileRequest;

use crate::error::{Error, Result};
use crate::guard::MAX_CHUNK;
use crate::port::AgentPort;

/// Type bits of a mode (inode(7)).
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const PERMISSIONS: u32 = 0o7777;

/// Where something goes in the guest, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path in the guest, below [`SHARED`](crate::guest_path::SHARED).
    pub path: String,
    /// Permissions; type bits are ignored.
    pub mode: u32,
    /// Permissions of missing parents.
    pub parents_mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
}

impl Place {
    fn request(&self, kind: u32) -> Result<CopyFileRequest> {
        let id = |id: u32| {
            i32::try_from(id)
                .map_err(|_| Error::refused("copy", format!("the owner {id} is out of range")))
        };
        Ok(CopyFileRequest {
            path: self.path.clone(),
            file_mode: kind | self.mode & PERMISSIONS,
            dir_mode: self.parents_mode & PERMISSIONS,
            uid: id(self.uid)?,
            gid: id(self.gid)?,
            ..Default::default()
        })
    }
}

/// Copies a file of `size` bytes, in parts of 1 MiB, ascending. An existing one is replaced when
/// the last part has come.
///
/// Two files whose names differ only in their extension must not be copied at the same time:
/// kata-agent uses one temporary name for both. Fails with `Invalid` when `content` is shorter than
/// `size`; more is not read. Dropping the future leaves a part in the guest that the next copy
/// replaces.
pub async fn file(
    agent: &dyn AgentPort,
    place: &Place,
    size: u64,
    content: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<()> {
    let mut part = place.request(REGULAR)?;
    let too_large = |_| Error::refused("copy", format!("{size} bytes are too many"));
    part.file_size = i64::try_from(size).map_err(too_large)?;
    let mut left = size;
    loop {
        let length = left.min(MAX_CHUNK as u64);
        let mut data = Vec::new();
        let read = (&mut *content).take(length).read_to_end(&mut data).await;
        let read = read.map_err(|error| Error::new("copy", error))? as u64;
        if read < length {
            let reason = format!("{} ended {} bytes early", place.path, left - read);
            return Err(Error::refused("copy", reason));
        }
        part.data = data;
        agent.copy_file(part.clone()).await?;
        left -= read;
        if left == 0 {
            return Ok(());
        }
        // Fits: the sum of all parts is the size, which does.
        part.offset += read as i64;
    }
}

/// Makes a directory.
pub async fn directory(agent: &dyn AgentPort, place: &Place) -> Result<()> {
    agent.copy_file(place.request(DIRECTORY)?).await
}

/// Makes a symbolic link to `target`.
pub async fn symlink(agent: &dyn AgentPort, place: &Place, target: &str) -> Result<()> {
    let mut request = place.request(LINK)?;
    request.data = target.as_bytes().to_vec();
    request.file_size = i64::try_from(target.len()).unwrap_or(i64::MAX);
    agent.copy_file(request).await
}
