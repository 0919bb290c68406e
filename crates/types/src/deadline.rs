//! How long each phase may take, as one value that scales with the speed of the guest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The deadlines of a sandbox. All come from one table and one multiplier, so that a slow host
/// needs one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From the start of the virtual machine to the agent's answer.
    pub boot: Duration,
    /// One ordinary call to the agent.
    pub rpc: Duration,
    /// What the guest gets to end by itself.
    pub stop_guest: Duration,
    /// What the virtual machine monitor gets to quit before it is killed.
    pub stop_machine: Duration,
    /// A whole delete.
    pub delete: Duration,
    /// Waiting for another process to release the sandbox.
    pub lock: Duration,
    /// Waiting for an interface that the sandbox was promised.
    #[serde(default = "Deadlines::network")]
    pub network: Duration,
}

impl Deadlines {
    /// The deadlines for a guest that runs on the processor itself.
    pub const ACCELERATED: Self = Self::with_boot(Duration::from_secs(10));
    /// The deadlines for a guest whose processor is emulated.
    pub const EMULATED: Self = Self::with_boot(Duration::from_secs(60));

    const fn with_boot(boot: Duration) -> Self {
        Self {
            boot,
            rpc: Duration::from_secs(60),
            stop_guest: Duration::from_secs(5),
            stop_machine: Duration::from_secs(3),
            delete: Duration::from_secs(15),
            lock: Duration::from_secs(10),
            network: Self::network(),
        }
    }

    const fn network() -> Duration {
        Duration::from_secs(5)
    }

    /// Every deadline times `factor`. A factor that is not finite and positive counts as 1.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let factor = if factor.is_finite() && factor > 0.0 {
            factor
        } else {
            1.0
        };
        let scale = |duration: Duration| duration.mul_f64(factor.min(1e6));
        Self {
            boot: scale(self.boot),
            rpc: scale(self.rpc),
            stop_guest: scale(self.stop_guest),
            stop_machine: scale(self.stop_machine),
            delete: scale(self.delete),
            lock: scale(self.lock),
            network: scale(self.network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_factor_scales_all() {
        let doubled = Deadlines::ACCELERATED.scaled(2.0);
        assert_eq!(doubled.boot, Duration::from_secs(20));
        assert_eq!(doubled.lock, Duration::from_secs(20));
        assert_eq!(Deadlines::EMULATED.scaled(f64::NAN), Deadlines::EMULATED);
    }
}
