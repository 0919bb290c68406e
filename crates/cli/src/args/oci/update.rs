//! Arguments that change limits.

use std::path::PathBuf;

use clap::Args;
use virtcontainers::types::ContainerId;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc update --memory 128M --pids-limit 100 web
  vc update --cpu-quota 50000 --cpu-period 100000 web
  echo '{\"memory\": {\"limit\": 134217728}}' | vc update --resources - web

Sizes are bytes, or have a suffix K, M or G; -1 is no limit. The limits are those of the container
in the guest; the size of the virtual machine stays.")]
pub(crate) struct Update {
    /// JSON file with limits as in a bundle's linux.resources, or - for standard input; flags win over
    /// it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// Most memory
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub(crate) memory: Option<i64>,
    /// Memory that is left when others need some
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub(crate) memory_reservation: Option<i64>,
    /// Most memory and swap together
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<i64>,
    /// Length of a period of the CPU quota, in microseconds
    #[arg(long, value_name = "MICROS")]
    pub(crate) cpu_period: Option<u64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "MICROS", allow_negative_numbers = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Weight among containers, when all want the CPU
    #[arg(long, value_name = "WEIGHT", alias = "cpu-shares")]
    pub(crate) cpu_share: Option<u64>,
    /// Most processes
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    #[command(flatten)]
    pub(crate) refused: Refused,
    /// Id of the container
    pub(crate) id: ContainerId,
}

/// Limits of runc that a container in a virtual machine does not have. They are known, so that each
/// is refused with its reason.
#[derive(Debug, Args)]
pub(crate) struct Refused {
    /// Refused: the guest's kernel has no real-time groups
    #[arg(long, value_name = "MICROS", value_parser = no_realtime)]
    pub(crate) cpu_rt_period: Option<String>,
    /// Refused: the guest's kernel has no real-time groups
    #[arg(long, value_name = "MICROS", value_parser = no_realtime)]
    pub(crate) cpu_rt_runtime: Option<String>,
    /// Refused: numbers of the host's CPUs mean nothing in the guest
    #[arg(long, value_name = "LIST", value_parser = no_host_numbers)]
    pub(crate) cpuset_cpus: Option<String>,
    /// Refused: numbers of the host's memory nodes mean nothing in the guest
    #[arg(long, value_name = "LIST", value_parser = no_host_numbers)]
    pub(crate) cpuset_mems: Option<String>,
    /// Refused: the container's files are not on a block device of the guest
    #[arg(long, value_name = "WEIGHT", value_parser = no_block_devices)]
    pub(crate) blkio_weight: Option<String>,
    /// Refused: Linux has no such limit any more
    #[arg(long, value_name = "SIZE", value_parser = no_kernel_memory)]
    pub(crate) kernel_memory: Option<String>,
    /// Refused: Linux has no such limit any more
    #[arg(long, value_name = "SIZE", value_parser = no_kernel_memory)]
    pub(crate) kernel_memory_tcp: Option<String>,
    /// Refused: caches of the host's CPUs cannot be divided from a guest
    #[arg(long, value_name = "SCHEMA", value_parser = no_resctrl)]
    pub(crate) l3_cache_schema: Option<String>,
    /// Refused: memory bandwidth of the host cannot be divided from a guest
    #[arg(long, value_name = "SCHEMA", value_parser = no_resctrl)]
    pub(crate) mem_bw_schema: Option<String>,
}

fn no_realtime(_: &str) -> Result<String, String> {
    Err("the guest's kernel has no real-time groups: use --cpu-quota and --cpu-period".to_owned())
}

fn no_host_numbers(_: &str) -> Result<String, String> {
    Err(
        "numbers of the host mean nothing in the guest: pin the process of the virtual machine, \
         which is in the container's control group"
            .to_owned(),
    )
}

fn no_block_devices(_: &str) -> Result<String, String> {
    Err(
        "the container's files are not on a block device of the guest: limit the control group of \
         the host that the virtual machine is in"
            .to_owned(),
    )
}

fn no_kernel_memory(_: &str) -> Result<String, String> {
    Err(
        "Linux has no such limit any more: use --memory, which counts the kernel's share"
            .to_owned(),
    )
}

fn no_resctrl(_: &str) -> Result<String, String> {
    Err(
        "a guest cannot divide the host's caches and memory bandwidth: use the host's resctrl for \
         the process of the virtual machine"
            .to_owned(),
    )
}

/// Bytes, with or without a suffix of 1024.
fn size(text: &str) -> Result<i64, String> {
    let wrong = || "write bytes, or a number with K, M or G, or -1 for no limit".to_owned();
    if text == "-1" {
        return Ok(-1);
    }
    let text = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let text = text.strip_suffix('i').unwrap_or(text);
    let (number, shift) = match text.strip_suffix(|c: char| c.is_ascii_alphabetic()) {
        None => (text, 0),
        Some(number) => match text.as_bytes().last().map(u8::to_ascii_lowercase) {
            Some(b'k') => (number, 10),
            Some(b'm') => (number, 20),
            Some(b'g') => (number, 30),
            Some(b't') => (number, 40),
            _ => return Err(wrong()),
        },
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    i64::try_from(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("-1", -1),
            ("4096", 4096),
            ("4096b", 4096),
            ("1k", 1024),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("2gb", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-2", "1x", "1.5G", "99999999999G", "i"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
