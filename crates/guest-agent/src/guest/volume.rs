//! How full a volume is.

use protobuf::EnumOrUnknown;
use virtcontainers_agent_proto::csi::volume_usage::Unit;
use virtcontainers_agent_proto::csi::{VolumeCondition, VolumeStatsResponse, VolumeUsage};

use crate::status::{Doing as _, Result};

/// Space and inodes of the file system at `path`, a path of the guest.
///
/// # Errors
/// INTERNAL when it cannot be asked.
pub(crate) fn volume_stats(path: &str) -> Result<VolumeStatsResponse> {
    let stats = rustix::fs::statvfs(path).doing(|| format!("ask for the space on {path:?}"))?;
    let usage = |unit, available: u64, total: u64, free: u64| VolumeUsage {
        available,
        total,
        used: total.saturating_sub(free),
        unit: EnumOrUnknown::new(unit),
        ..VolumeUsage::default()
    };
    let block = stats.f_frsize;
    let bytes = |blocks: u64| blocks.saturating_mul(block);
    let mut reply = VolumeStatsResponse::new();
    reply.usage = vec![
        usage(
            Unit::BYTES,
            bytes(stats.f_bavail),
            bytes(stats.f_blocks),
            bytes(stats.f_bfree),
        ),
        usage(Unit::INODES, stats.f_favail, stats.f_files, stats.f_ffree),
    ];
    reply.volume_condition = Some(VolumeCondition {
        message: "OK".to_owned(),
        ..VolumeCondition::default()
    })
    .into();
    Ok(reply)
}
