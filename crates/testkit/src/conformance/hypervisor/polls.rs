//! Futures that are dropped before their end, at a point that does not depend on time.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Drives a future, but drops it when it has been polled so many times and is not done.
pub(super) async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut done = 0;
    poll_fn(move |context| {
        done += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if done >= polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
