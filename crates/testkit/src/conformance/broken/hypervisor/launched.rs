//! Machines before their start that are wrong in one way.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use virtcontainers_hypervisor::{Error, ErrorKind, Launched, Machine, MachineExit};

use super::backend::recast;
use super::machine::BrokenMachine;

/// A launched machine that is wrong in the named way.
#[derive(Debug)]
pub(super) struct BrokenLaunched {
    inner: Option<Box<dyn Launched>>,
    breaks: &'static str,
}

impl BrokenLaunched {
    pub(super) fn new(inner: Box<dyn Launched>, breaks: &'static str) -> Self {
        let inner = Some(inner);
        Self { inner, breaks }
    }
}

impl Drop for BrokenLaunched {
    fn drop(&mut self) {
        if self.breaks == "an-unstarted-machine-ends-when-dropped" {
            std::mem::forget(self.inner.take());
        }
    }
}

#[async_trait]
impl Launched for BrokenLaunched {
    async fn start(mut self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        let inner = self.inner.take().ok_or_else(lost)?;
        let breaks = self.breaks;
        let machine = inner.start().await.map_err(|error| match breaks {
            "a-start-of-what-ended-is-gone" => recast(error, ErrorKind::Gone, ErrorKind::Internal),
            _ => error,
        })?;
        match breaks {
            "a-dropped-start-leaves-nothing" => tokio::task::yield_now().await,
            "a-start-lets-the-cpus-run" => machine.pause().await?,
            _ => {}
        }
        Ok(Arc::new(BrokenMachine::launched(machine, breaks)))
    }

    // Written out, because a future of an `async fn` would hold what only one thread may hold.
    fn exited<'a, 'f>(&'a self) -> BoxFuture<'f, MachineExit>
    where
        'a: 'f,
        Self: 'f,
    {
        match &self.inner {
            Some(inner) if self.breaks != "an-unstarted-machine-tells-its-end" => inner.exited(),
            _ => std::future::pending().boxed(),
        }
    }
}

/// A machine that ran before it was started.
#[derive(Debug)]
pub(super) struct TooEarly(Option<Arc<dyn Machine>>);

impl TooEarly {
    pub(super) fn new(machine: Arc<dyn Machine>) -> Self {
        Self(Some(machine))
    }
}

impl Drop for TooEarly {
    fn drop(&mut self) {
        if let Some(machine) = &self.0 {
            drop(machine.kill());
        }
    }
}

#[async_trait]
impl Launched for TooEarly {
    async fn start(mut self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        let machine = self.0.take().ok_or_else(lost)?;
        match machine.wait().now_or_never() {
            Some(_) => Err(Error::new(ErrorKind::Gone, "the machine has ended")),
            None => Ok(machine),
        }
    }

    async fn exited(&self) -> MachineExit {
        match &self.0 {
            Some(machine) => machine.wait().await,
            None => std::future::pending().await,
        }
    }
}

/// Something that nobody ends.
#[derive(Debug)]
pub(super) struct Forgotten(Option<Box<dyn Launched>>);

impl Forgotten {
    pub(super) fn new(launched: Box<dyn Launched>) -> Self {
        Self(Some(launched))
    }

    pub(super) fn take(mut self) -> Result<Box<dyn Launched>, Error> {
        self.0.take().ok_or_else(lost)
    }
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        std::mem::forget(self.0.take());
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "the machine was taken before")
}
