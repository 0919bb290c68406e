//! Traces for OpenTelemetry: every operation is a span, and what it does below nests in it.
//!
//! The caller brings the exporter, so that this crate brings no network client of its own:
//!
//! ```no_run
//! use tracing_subscriber::layer::SubscriberExt as _;
//! use tracing_subscriber::util::SubscriberInitExt as _;
//! # fn with(exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static) {
//! let (layer, telemetry) = virtcontainers::telemetry::layer("my-program", exporter);
//! tracing_subscriber::registry().with(layer).init();
//! // … operations …
//! telemetry.shutdown();
//! # }
//! ```
//!
//! Spans are named after their operation, such as `start_sandbox`, and have the attributes
//! `subsystem`, `sandbox` and `container` where they apply.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// What instruments the spans: the scope's name in OpenTelemetry.
const SCOPE: &str = "virtcontainers";

/// Keeps the exporter running. Dropping it sends what is waiting, as [`Telemetry::shutdown`] does,
/// but tells nobody when that fails.
#[derive(Debug)]
#[must_use = "spans are no longer sent once this is dropped"]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Waits until every span that has ended was handed to the exporter, at most five seconds.
    /// Returns whether that succeeded.
    pub fn flush(&self) -> bool {
        self.provider.force_flush().is_ok()
    }

    /// Sends what is waiting and ends the exporter, within five seconds. Returns whether that
    /// succeeded. Spans that end later are dropped.
    pub fn shutdown(self) -> bool {
        self.provider.shutdown().is_ok()
    }
}

/// A layer for a [`tracing`] subscriber that hands every span to `exporter`, as spans of `service`,
/// in batches and from a thread of its own.
pub fn layer<S, E>(service: impl Into<String>, exporter: E) -> (impl Layer<S>, Telemetry)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    E: SpanExporter + 'static,
{
    let resource = Resource::builder()
        .with_service_name(service.into())
        .build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(SCOPE));
    (layer, Telemetry { provider })
}
