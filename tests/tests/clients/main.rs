//! The programs that drive an OCI runtime, and what they rely on: Podman, containerd, a client of
//! console sockets, the lifecycle of the runtime specification, and many execs.
//!
//! Each case runs with runc too. Where it passes there, the case is right, and what fails with `vc` is
//! a fault of `vc`.

/// Makes of each case two tests: with runc, and with `vc`.
macro_rules! with_both {
    ($with:path: $($case:ident),+ $(,)?) => {
        mod runc {
            $(
                #[test]
                fn $case() -> anyhow::Result<()> {
                    $with(crate::stage::Runtime::Runc, super::$case)
                }
            )+
        }

        mod vc {
            $(
                #[test]
                fn $case() -> anyhow::Result<()> {
                    $with(crate::stage::Runtime::Vc, super::$case)
                }
            )+
        }
    };
}

mod burst;
mod console;
mod containerd;
mod direct;
mod left;
mod lifecycle;
mod podman;
mod stage;
