//! Device rules as a program that the kernel asks at every `open` and `mknod` of a device.
//!
//! The program looks at the rules from the last to the first; the first one that matches all of
//! the access decides, and what none matches is denied. A container has what every container
//! needs, then its own devices, then its rules, in the order in which later ones win.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType as Kind};

use crate::container::error::{EngineError, Result};

/// Bits of an access, as the kernel has them.
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

/// Kinds of devices, as the kernel has them.
const BLOCK: u32 = 1;
const CHAR: u32 = 2;

/// Rules beyond any use; the kernel takes programs of a million instructions at most.
const MOST_RULES: usize = 10_000;

/// One rule; `None` matches all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

impl Rule {
    const fn allow(kind: u32, major: Option<u32>, minor: Option<u32>, access: u32) -> Self {
        Self {
            allow: true,
            kind: Some(kind),
            major,
            minor,
            access,
        }
    }

    fn is_everything(&self) -> bool {
        self.access == ALL && self.kind.is_none() && self.major.is_none() && self.minor.is_none()
    }
}

/// What every container may use: making nodes of any kind, null, zero, full, random, urandom,
/// tty, console, ptmx and terminals.
const USUAL: [Rule; 12] = [
    Rule::allow(BLOCK, None, None, MKNOD),
    Rule::allow(CHAR, None, None, MKNOD),
    Rule::allow(CHAR, Some(1), Some(3), ALL),
    Rule::allow(CHAR, Some(1), Some(5), ALL),
    Rule::allow(CHAR, Some(1), Some(7), ALL),
    Rule::allow(CHAR, Some(1), Some(8), ALL),
    Rule::allow(CHAR, Some(1), Some(9), ALL),
    Rule::allow(CHAR, Some(5), Some(0), ALL),
    Rule::allow(CHAR, Some(5), Some(1), ALL),
    Rule::allow(CHAR, Some(5), Some(2), ALL),
    Rule::allow(CHAR, Some(136), None, ALL),
    Rule::allow(CHAR, Some(10), Some(200), ALL),
];

/// Compiles the rules of a container. Each instruction is 8 bytes.
pub(super) fn program(rules: &[LinuxDeviceCgroup], devices: &[LinuxDevice]) -> Result<Vec<u64>> {
    if rules.len() > MOST_RULES || devices.len() > MOST_RULES {
        return Err(EngineError::invalid(format!(
            "linux.resources.devices: more than {MOST_RULES} rules"
        )));
    }
    // A specification begins with a rule that denies all, which must not take away what every
    // container has; one that allows all is meant as it is said.
    let mut all: Vec<Rule> = Vec::new();
    let given = rules.iter().map(rule).collect::<Result<Vec<_>>>()?;
    let own = devices.iter().filter_map(own);
    all.extend(given.iter().take_while(|rule| !rule.allow));
    all.extend(USUAL);
    all.extend(own);
    all.extend(given.iter().skip_while(|rule| !rule.allow));
    Ok(compile(&all))
}

/// A device that the container is given may be used by it.
fn own(device: &LinuxDevice) -> Option<Rule> {
    let kind = match device.typ() {
        Kind::B => BLOCK,
        Kind::C | Kind::U => CHAR,
        Kind::P | Kind::A => return None,
    };
    let major = u32::try_from(device.major()).ok()?;
    let minor = u32::try_from(device.minor()).ok()?;
    Some(Rule::allow(kind, Some(major), Some(minor), ALL))
}

fn rule(rule: &LinuxDeviceCgroup) -> Result<Rule> {
    let refused = |what: String| EngineError::invalid(format!("linux.resources.devices: {what}"));
    let kind = match rule.typ() {
        None | Some(Kind::A) => None,
        Some(Kind::B) => Some(BLOCK),
        Some(Kind::C | Kind::U) => Some(CHAR),
        Some(Kind::P) => return Err(refused("a pipe is not a device".to_owned())),
    };
    let mut access = 0;
    for letter in rule.access().as_deref().unwrap_or_default().chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            other => return Err(refused(format!("{other:?} is none of r, w, m"))),
        };
    }
    let number = |number: Option<i64>| match number {
        Some(number) if number >= 0 => u32::try_from(number)
            .map(Some)
            .map_err(|_| refused(format!("there is no device number {number}"))),
        _ => Ok(None),
    };
    Ok(Rule {
        allow: rule.allow(),
        kind,
        major: if kind.is_some() {
            number(rule.major())?
        } else {
            None
        },
        minor: if kind.is_some() {
            number(rule.minor())?
        } else {
            None
        },
        access: if access == 0 { ALL } else { access },
    })
}

/// Registers that the program keeps its questions in.
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const CONTEXT: u8 = 1;
const SCRATCH: u8 = 1;
const RESULT: u8 = 0;

fn compile(rules: &[Rule]) -> Vec<u64> {
    let mut code = vec![
        // The kind is in the lower half of the first word, the access in the upper.
        load(KIND, CONTEXT, 0),
        and(KIND, 0xffff),
        load(ACCESS, CONTEXT, 0),
        shift_right(ACCESS, 16),
        load(MAJOR, CONTEXT, 4),
        load(MINOR, CONTEXT, 8),
    ];
    for rule in rules.iter().rev() {
        code.extend(block(rule));
        if rule.is_everything() {
            // The kernel refuses a program with instructions that are never reached.
            return code;
        }
    }
    code.extend([set(RESULT, 0), exit()]);
    code
}

/// Decides if the rule matches, and else goes on behind itself.
fn block(rule: &Rule) -> Vec<u64> {
    let mut tests: Vec<(Vec<u64>, u8, u32)> = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push((vec![], KIND, kind));
    }
    if rule.access != ALL {
        let code = if rule.allow {
            // All that is asked for must be allowed ...
            (
                vec![copy(SCRATCH, ACCESS), and(SCRATCH, !rule.access & ALL)],
                SCRATCH,
                0,
            )
        } else {
            // ... but a part that is denied is enough. Turned around below.
            (
                vec![copy(SCRATCH, ACCESS), and(SCRATCH, rule.access)],
                SCRATCH,
                u32::MAX,
            )
        };
        tests.push(code);
    }
    if let Some(major) = rule.major {
        tests.push((vec![], MAJOR, major));
    }
    if let Some(minor) = rule.minor {
        tests.push((vec![], MINOR, minor));
    }
    let length: usize = tests.iter().map(|(code, ..)| code.len() + 1).sum::<usize>() + 2;
    let mut block = Vec::with_capacity(length);
    for (code, register, value) in tests {
        block.extend(code);
        let behind = (length - block.len() - 1) as i16;
        block.push(if register == SCRATCH && value == u32::MAX {
            jump_if_equal(SCRATCH, 0, behind)
        } else {
            jump_unless_equal(register, value, behind)
        });
    }
    block.extend([set(RESULT, u32::from(rule.allow)), exit()]);
    block
}

/// Encodes an instruction (kernel, `Documentation/bpf/instruction-set.rst`).
fn encode(opcode: u8, target: u8, source: u8, offset: i16, value: u32) -> u64 {
    u64::from(opcode)
        | u64::from(target) << 8
        | u64::from(source) << 12
        | u64::from(offset as u16) << 16
        | u64::from(value) << 32
}

fn load(target: u8, from: u8, offset: i16) -> u64 {
    encode(0x61, target, from, offset, 0)
}

fn and(target: u8, value: u32) -> u64 {
    encode(0x54, target, 0, 0, value)
}

fn shift_right(target: u8, bits: u32) -> u64 {
    encode(0x74, target, 0, 0, bits)
}

fn copy(target: u8, from: u8) -> u64 {
    encode(0xbc, target, from, 0, 0)
}

fn set(target: u8, value: u32) -> u64 {
    encode(0xb4, target, 0, 0, value)
}

fn jump_unless_equal(register: u8, value: u32, offset: i16) -> u64 {
    encode(0x56, register, 0, offset, value)
}

fn jump_if_equal(register: u8, value: u32, offset: i16) -> u64 {
    encode(0x16, register, 0, offset, value)
}

fn exit() -> u64 {
    encode(0x95, 0, 0, 0, 0)
}

#[cfg(test)]
mod tests;
