//! Every request gets one answer, and work that changes the guest is finished.
//!
//! If a handler panics, the client is told INTERNAL instead of nothing. If the client's connection
//! or deadline ends first, a handler that only waits is dropped with it (a forgotten reader must
//! not swallow output); any other runs as a task of its own, on to its end, so that no half-made
//! container is left.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use ttrpc::asynchronous::{MethodHandler, Service, TtrpcContext};
use ttrpc::{Code, Error, Request, Response, Result, get_status};

/// Methods that wait for others and change nothing by being dropped.
const WAITING: [&str; 5] = [
    "WaitProcess",
    "ReadStdout",
    "ReadStderr",
    "WriteStdin",
    "GetOOMEvent",
];

/// The same service with each of its methods guarded.
pub(super) fn guarded(service: Service) -> Service {
    let guard = |(name, inner): (String, Box<dyn MethodHandler + Send + Sync>)| {
        let waits = WAITING.contains(&name.as_str());
        let method = Box::new(Guarded {
            name: name.clone(),
            inner: Arc::from(inner),
            waits,
        });
        (name, method as Box<dyn MethodHandler + Send + Sync>)
    };
    Service {
        methods: service.methods.into_iter().map(guard).collect(),
        streams: service.streams,
    }
}

struct Guarded {
    name: String,
    inner: Arc<dyn MethodHandler + Send + Sync>,
    waits: bool,
}

#[async_trait]
impl MethodHandler for Guarded {
    async fn handler(&self, context: TtrpcContext, request: Request) -> Result<Response> {
        let inner = Arc::clone(&self.inner);
        let outcome = if self.waits {
            AssertUnwindSafe(inner.handler(context, request))
                .catch_unwind()
                .await
                .ok()
        } else {
            tokio::spawn(async move { inner.handler(context, request).await })
                .await
                .ok()
        };
        match outcome {
            Some(Ok(response)) => Ok(response),
            // The generated code fails by itself only when the payload is not the message.
            Some(Err(error)) => Ok(refuse(Code::INVALID_ARGUMENT, &self.name, error)),
            // The panic hook has logged it.
            None => Ok(refuse(
                Code::INTERNAL,
                &self.name,
                "the agent failed; its log says more",
            )),
        }
    }
}

fn refuse(code: Code, method: &str, why: impl std::fmt::Display) -> Response {
    Error::RpcStatus(get_status(code, format!("{method}: {why}"))).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;

    enum Behaviour {
        Panic,
        Fail,
        Signal(Arc<tokio::sync::Semaphore>),
    }

    #[async_trait]
    impl MethodHandler for Behaviour {
        async fn handler(&self, _: TtrpcContext, _: Request) -> Result<Response> {
            match self {
                Self::Panic => panic!("on purpose"),
                Self::Fail => Err(Error::Others("not the message".to_owned())),
                Self::Signal(done) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    done.add_permits(1);
                    Ok(Response::new())
                }
            }
        }
    }

    fn method(name: &str, behaviour: Behaviour) -> Box<dyn MethodHandler + Send + Sync> {
        let methods = HashMap::from([(
            name.to_owned(),
            Box::new(behaviour) as Box<dyn MethodHandler + Send + Sync>,
        )]);
        let mut service = guarded(Service {
            methods,
            streams: HashMap::new(),
        });
        service.methods.remove(name).unwrap()
    }

    async fn code(name: &str, behaviour: Behaviour) -> Code {
        let response = method(name, behaviour)
            .handler(TtrpcContext::default(), Request::new())
            .await
            .unwrap();
        response.status.code.enum_value().unwrap()
    }

    #[tokio::test]
    async fn panics_and_garbage_are_answered() {
        for name in ["CreateContainer", "ReadStdout"] {
            assert_eq!(code(name, Behaviour::Panic).await, Code::INTERNAL);
            assert_eq!(code(name, Behaviour::Fail).await, Code::INVALID_ARGUMENT);
        }
    }

    async fn survives_its_caller(name: &str) -> bool {
        let done = Arc::new(tokio::sync::Semaphore::new(0));
        let method = method(name, Behaviour::Signal(Arc::clone(&done)));
        let call = method.handler(TtrpcContext::default(), Request::new());
        assert!(
            tokio::time::timeout(Duration::from_millis(1), call)
                .await
                .is_err()
        );
        tokio::time::timeout(Duration::from_millis(200), done.acquire())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn work_outlives_its_connection_and_waiting_does_not() {
        assert!(survives_its_caller("CreateContainer").await);
        assert!(survives_its_caller("RemoveContainer").await);
        assert!(!survives_its_caller("ReadStdout").await);
        assert!(!survives_its_caller("WaitProcess").await);
    }
}
