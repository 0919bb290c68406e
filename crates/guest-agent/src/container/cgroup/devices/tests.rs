//! The device program: what it allows is tried on an interpreter.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup};
use serde_json::json;

use super::{ALL, BLOCK, CHAR, MKNOD, READ, WRITE, program};

/// Runs a program as the kernel would.
fn run(code: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
    let context = [kind | access << 16, major, minor];
    let mut registers = [0_u32; 11];
    let mut at = 0_usize;
    loop {
        let instruction = code[at];
        let target = (instruction >> 8 & 0xf) as usize;
        let source = (instruction >> 12 & 0xf) as usize;
        let offset = (instruction >> 16) as i16;
        let value = (instruction >> 32) as u32;
        let mut jump = false;
        match instruction as u8 {
            // The context is in register 1 until that is used for something else.
            0x61 => registers[target] = context[offset as usize / 4],
            0x54 => registers[target] &= value,
            0x74 => registers[target] >>= value,
            0xbc => registers[target] = registers[source],
            0xb4 => registers[target] = value,
            0x56 => jump = registers[target] != value,
            0x16 => jump = registers[target] == value,
            0x95 => return registers[0] == 1,
            other => panic!("opcode {other:#x}"),
        }
        at += 1 + if jump { offset as usize } else { 0 };
    }
}

fn compiled(rules: serde_json::Value) -> Vec<u64> {
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_value(rules).unwrap();
    program(&rules, &[]).unwrap()
}

#[test]
fn without_rules_only_the_usual_devices_work() {
    let code = compiled(json!([]));
    assert!(run(&code, CHAR, READ | WRITE, 1, 3));
    assert!(run(&code, CHAR, READ, 136, 7));
    assert!(run(&code, BLOCK, MKNOD, 8, 0));
    assert!(!run(&code, BLOCK, READ, 8, 0));
    assert!(!run(&code, CHAR, READ, 1, 1));
    assert!(!run(&code, CHAR, READ | MKNOD, 1, 1));
}

#[test]
fn a_first_rule_that_denies_all_leaves_the_usual_ones() {
    let code = compiled(json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"},
    ]));
    assert!(run(&code, CHAR, WRITE, 1, 3));
    assert!(run(&code, BLOCK, READ, 8, 1));
    assert!(!run(&code, BLOCK, READ | WRITE, 8, 1));
    assert!(!run(&code, BLOCK, READ, 8, 2));
    assert!(!run(&code, CHAR, READ, 8, 1));
}

#[test]
fn later_rules_win() {
    let code = compiled(json!([
        {"allow": true, "access": "rwm"},
        {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "w"},
    ]));
    assert!(run(&code, CHAR, READ, 1, 3));
    assert!(!run(&code, CHAR, WRITE, 1, 3));
    assert!(!run(&code, CHAR, READ | WRITE, 1, 3));
    assert!(run(&code, BLOCK, ALL, 259, 3));
    assert!(run(&code, CHAR, ALL, 1, 1));
}

#[test]
fn numbers_below_zero_match_all() {
    let code = compiled(json!([
        {"allow": true, "type": "c", "major": 10, "minor": -1, "access": "rw"},
    ]));
    assert!(run(&code, CHAR, READ, 10, 0));
    assert!(run(&code, CHAR, READ, 10, 229));
    assert!(!run(&code, CHAR, READ, 11, 0));
}

#[test]
fn devices_of_the_container_are_allowed() {
    let device: LinuxDevice = serde_json::from_value(json!({
        "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229,
    }))
    .unwrap();
    let code = program(&[], &[device]).unwrap();
    assert!(run(&code, CHAR, READ | WRITE, 10, 229));
    assert!(!run(&code, CHAR, READ, 10, 228));
}

#[test]
fn nonsense_is_refused() {
    for rule in [
        json!([{"allow": true, "access": "x"}]),
        json!([{"allow": true, "type": "p", "access": "r"}]),
        json!([{"allow": true, "type": "c", "major": 1_i64 << 40, "access": "r"}]),
    ] {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_value(rule.clone()).unwrap();
        assert!(program(&rules, &[]).is_err(), "{rule}");
    }
}
