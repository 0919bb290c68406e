//! Every value with a text form: what is printed is read as the same value, what people write is
//! understood, and each malformed form is refused with the reason by name.

mod common;

use std::fmt::{Debug, Display};
use std::str::FromStr;

use common::Numbers;
use virtcontainers_types::{
    CapabilityName, DeviceKind, DriveFormat, EnvVar, Error, IpAddress, MacAddress, Mebibytes,
    PciPath, SharedVolume, Socket, Sockets, Volumes,
};

const ROUNDS: usize = 2000;
/// Letters that may be in a part, and some that are odd there.
const PART: [char; 12] = ['a', 'Z', '0', '.', '-', '_', '/', '=', '"', '\\', 'é', '🦀'];

#[track_caller]
fn round_trip<T>(text: &str)
where
    T: FromStr<Err = Error> + Display + PartialEq + Debug,
{
    let value: T = text.parse().expect(text);
    assert_eq!(value.to_string(), text);
    assert_eq!(value.to_string().parse(), Ok(value));
}

#[track_caller]
fn refused<T>(rows: &[(&str, &str)])
where
    T: FromStr<Err = Error> + Debug,
{
    for (text, reason) in rows {
        let message = text.parse::<T>().expect_err(text).to_string();
        assert!(
            message.contains(reason) && message.contains(&format!("{text:?}")),
            "{text:?}: {message}, and not: {reason}"
        );
    }
}

#[test]
fn shared_volumes() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let (tag, path) = (numbers.word(&PART, 1, 9), numbers.word(&PART, 0, 20));
        round_trip::<SharedVolume>(&format!("{tag}:/{path}"));
    }
    let volume: SharedVolume = "share:/srv/data".parse().unwrap();
    assert_eq!(
        (volume.tag(), volume.path().to_str()),
        ("share", Some("/srv/data"))
    );
    refused::<SharedVolume>(&[
        ("", "1 parts, write tag:path"),
        ("share", "1 parts"),
        ("a:/b:/c", "3 parts"),
        (":/srv", "the tag is empty"),
        ("share:", "the path is empty"),
        (":", "the tag is empty"),
        ("share:srv", "the path is not absolute"),
        ("sh are:/srv", "the tag has white space"),
        ("share:/s\trv", "the path has white space"),
    ]);
}

#[test]
fn sockets() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let mut word = || numbers.word(&PART, 1, 9);
        round_trip::<Socket>(&format!("{}:{}:/{}:{}", word(), word(), word(), word()));
    }
    let socket: Socket = "dev0:ch0:/run/a.sock:agent.0".parse().unwrap();
    assert_eq!(
        (socket.device(), socket.id(), socket.name()),
        ("dev0", "ch0", "agent.0")
    );
    assert_eq!(socket.path().to_str(), Some("/run/a.sock"));
    refused::<Socket>(&[
        ("", "1 parts, write device:id:path:name"),
        ("a:b:/c", "3 parts"),
        ("a:b:/c:d:e", "5 parts"),
        (":b:/c:d", "the device is empty"),
        ("a::/c:d", "the id is empty"),
        ("a:b::d", "the path is empty"),
        ("a:b:/c:", "the name is empty"),
        ("a:b:c:d", "the path is not absolute"),
        ("a:b:/c:d ", "the name has white space"),
    ]);
}

#[test]
fn lists() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let count = numbers.below(5);
        let entries: Vec<String> = (0..count)
            .map(|_| {
                format!(
                    "{}:/{}",
                    numbers.word(&PART, 1, 5),
                    numbers.word(&PART, 0, 5)
                )
            })
            .collect();
        let text = entries.join(" ");
        round_trip::<Volumes>(&text);
        assert_eq!(text.parse::<Volumes>().unwrap().0.len(), count);
    }
    round_trip::<Sockets>("a:b:/c:d e:f:/g:h");
    for text in [" ", "a:/b ", " a:/b", "a:/b  c:/d"] {
        refused::<Volumes>(&[(text, "one space between")]);
    }
    let error = "a:/b c".parse::<Volumes>().unwrap_err().to_string();
    assert!(error.contains("\"c\""), "{error}");
}

#[test]
fn environment_variables() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let name = numbers.word(&['A', 'b', '_', '1', ' ', 'é'], 1, 9);
        round_trip::<EnvVar>(&format!("{name}={}", numbers.word(&PART, 0, 20)));
    }
    let variable: EnvVar = "A=b=c".parse().unwrap();
    assert_eq!((variable.name(), variable.value()), ("A", "b=c"));
    refused::<EnvVar>(&[
        ("", "the equal sign is missing"),
        ("NAME", "the equal sign is missing"),
        ("=value", "the name is empty"),
        ("A=b\0c", "zero byte"),
    ]);
    assert!(EnvVar::new("A=B", "c").is_err());
}

#[test]
fn pci_paths() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let slots: Vec<u8> = (0..=numbers.below(4))
            .map(|_| numbers.below(32) as u8)
            .collect();
        let path = PciPath::new(slots.clone()).unwrap();
        round_trip::<PciPath>(&path.to_string());
        assert_eq!(path.slots(), slots);
    }
    assert_eq!(PciPath::new(vec![2, 0x1f]).unwrap().to_string(), "02/1f");
    refused::<PciPath>(&[
        ("", "two hexadecimal digits"),
        ("2", "two hexadecimal digits"),
        ("02/", "two hexadecimal digits"),
        ("+2", "two hexadecimal digits"),
        ("0x02", "two hexadecimal digits"),
        ("20", "slots go from 00 to 1f"),
    ]);
}

#[test]
fn hardware_addresses() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let [.., a, b, c, d, e, f] = numbers.next().to_be_bytes();
        round_trip::<MacAddress>(&MacAddress([a, b, c, d, e, f]).to_string());
    }
    let upper: MacAddress = "02:AB:cd:00:00:0F".parse().unwrap();
    assert_eq!(upper.to_string(), "02:ab:cd:00:00:0f");
    for text in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:00:00",
        "2:0:0:0:0:0",
        "02-00-00-00-00-00",
    ] {
        refused::<MacAddress>(&[(text, "six pairs")]);
    }
    refused::<MacAddress>(&[("+2:00:00:00:00:00", "six pairs")]);
}

#[test]
fn internet_addresses() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        let four = std::net::Ipv4Addr::from(numbers.next() as u32);
        round_trip::<IpAddress>(&format!("{four}/{}", numbers.below(33)));
        let bits = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
        let six = std::net::Ipv6Addr::from(bits);
        round_trip::<IpAddress>(&format!("{six}/{}", numbers.below(129)));
    }
    refused::<IpAddress>(&[
        ("192.0.2.7", "the prefix is missing"),
        ("192.0.2.7/33", "at most 32 bits"),
        ("2001:db8::1/129", "at most 128 bits"),
        ("192.0.2.7/", "no number of bits"),
        ("192.0.2.7/+8", "no number of bits"),
        ("192.0.2/8", "no address"),
        ("example/8", "no address"),
    ]);
}

#[test]
fn words_from_a_list() {
    for name in CapabilityName::all() {
        round_trip::<CapabilityName>(&name.to_string());
        assert_eq!(name.bare().to_lowercase().parse(), Ok(name));
    }
    assert_eq!(CapabilityName::all().count(), 41);
    let sys_admin: CapabilityName = "cap_sys_admin".parse().unwrap();
    assert_eq!(sys_admin.number(), 21, "include/uapi/linux/capability.h");
    refused::<CapabilityName>(&[
        ("", "no such capability"),
        ("CAP_", "no such capability"),
        ("CAP_CAP_KILL", "no such capability"),
        ("ROOT", "no such capability"),
    ]);
    for kind in DeviceKind::ALL {
        round_trip::<DeviceKind>(kind.as_str());
    }
    refused::<DeviceKind>(&[("", "use b, c, u or p"), ("d", "use b, c, u or p")]);
    for format in DriveFormat::ALL {
        round_trip::<DriveFormat>(format.as_str());
    }
    refused::<DriveFormat>(&[("RAW", "use raw or qcow2"), ("vmdk", "use raw or qcow2")]);
}

#[test]
fn memory_sizes() {
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        round_trip::<Mebibytes>(&format!("{}M", numbers.next() >> 24));
    }
}
