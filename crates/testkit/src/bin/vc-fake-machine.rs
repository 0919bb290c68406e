//! A virtual machine that is none: started by `virtcontainers_testkit::hypervisor::ProcessBackend`.

use std::process::ExitCode;

fn main() -> ExitCode {
    virtcontainers_testkit::hypervisor::fake_machine()
}
