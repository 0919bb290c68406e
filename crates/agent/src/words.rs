//! Words that the agent understands. It panics at any other, which leaves the caller without an
//! answer; the lists are those of oci-spec 0.10, which kata-agent 4.1 uses.

/// Capabilities (capabilities(7)).
pub(crate) const CAPABILITIES: [&str; 41] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

/// Resource limits (getrlimit(2)).
pub(crate) const RLIMITS: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

/// Namespaces, in the long and the short form.
pub(crate) const NAMESPACES: [&str; 10] = [
    "cgroup", "ipc", "mnt", "mount", "net", "network", "pid", "time", "user", "uts",
];

/// Namespaces that the guest makes by itself, or has none of.
pub(crate) const UNSENT_NAMESPACES: [&str; 4] = ["net", "network", "pid", "time"];

/// Kinds of devices.
pub(crate) const DEVICE_TYPES: [&str; 5] = ["a", "b", "c", "p", "u"];

/// Actions of a system call filter.
pub(crate) const SECCOMP_ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// Architectures of a system call filter.
pub(crate) const SECCOMP_ARCHITECTURES: [&str; 24] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_NATIVE",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// Flags of a system call filter.
pub(crate) const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Comparisons of a system call filter.
pub(crate) const SECCOMP_OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime as oci;

    /// Each word is one of the specification's, and the list has all of them.
    fn all_known<T: serde::de::DeserializeOwned>(words: &[&str], count: usize) {
        for word in words {
            let json = serde_json::Value::from(*word);
            assert!(serde_json::from_value::<T>(json).is_ok(), "{word}");
        }
        assert_eq!(words.len(), count);
        assert!(words.is_sorted(), "sorted, so that a double is seen");
    }

    #[test]
    fn the_lists_are_those_of_the_specification() {
        all_known::<oci::Capability>(&CAPABILITIES, 41);
        all_known::<oci::PosixRlimitType>(&RLIMITS, 16);
        all_known::<oci::LinuxSeccompAction>(&SECCOMP_ACTIONS, 9);
        all_known::<oci::Arch>(&SECCOMP_ARCHITECTURES, 24);
        all_known::<oci::LinuxSeccompFilterFlag>(&SECCOMP_FLAGS, 4);
        all_known::<oci::LinuxSeccompOperator>(&SECCOMP_OPERATORS, 7);
        all_known::<oci::LinuxDeviceType>(&DEVICE_TYPES, 5);
        let long = [
            "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
        ];
        all_known::<oci::LinuxNamespaceType>(&long, 8);
        assert!(long.iter().all(|word| NAMESPACES.contains(word)));
    }
}
