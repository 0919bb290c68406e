//! Whether the hosts file of a bundle (hosts(5)) says what the container's address is.

use std::net::IpAddr;

use oci_spec::runtime::Spec;

use super::bound;

/// Whether the file that is bound on `/etc/hosts` has an address of the container's own host name
/// that is not a loopback one; also when there is no such file, or none that can be read.
pub(super) fn tell_an_address(spec: &Spec) -> bool {
    let (Some(file), Some(hostname)) = (bound::source(spec, "/etc/hosts"), spec.hostname()) else {
        return true;
    };
    match bound::read(&file) {
        Ok(content) => names(&String::from_utf8_lossy(&content), hostname),
        Err(_) => true,
    }
}

fn names(content: &str, hostname: &str) -> bool {
    content.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        address.is_some_and(|address| !address.is_loopback()) && words.any(|name| name == hostname)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_names_address() {
        let usual = "127.0.0.1\tlocalhost\nff02::1\tip6-allnodes\n";
        for (line, told) in [
            ("", false),
            ("172.17.0.2\tc0ffee\n", true),
            ("fd00::2 alias c0ffee # ours\n", true),
            ("127.0.1.1 c0ffee\n", false),
            ("10.0.0.1 db\n", false),
            ("#172.17.0.2 c0ffee\n", false),
        ] {
            assert_eq!(names(&format!("{usual}{line}"), "c0ffee"), told, "{line}");
        }
    }
}
