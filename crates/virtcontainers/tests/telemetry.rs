//! A span of an operation reaches an exporter of OpenTelemetry.

#![cfg(feature = "otel")]

use std::sync::{Arc, Mutex};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing_subscriber::layer::SubscriberExt as _;
use virtcontainers::types::SandboxId;
use virtcontainers::{Config, ErrorKind, runtime, telemetry};

/// Keeps what it gets.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Memory {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("nobody panicked").extend(batch);
        Ok(())
    }
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key.as_str() == name)?;
    Some(found.value.as_str().into_owned())
}

#[tokio::test]
async fn an_operation_is_a_span_of_its_name() {
    let root = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.runtime.root = root.path().join("state");
    let runtime = runtime(&config).unwrap();
    let memory = Memory::default();
    let (layer, telemetry) = telemetry::layer("test", memory.clone());
    let subscriber = tracing_subscriber::registry().with(layer);
    let guard = tracing::subscriber::set_default(subscriber);

    let outer = tracing::info_span!("outer");
    let id = SandboxId::new("nobody").unwrap();
    let asked = tracing::Instrument::instrument(runtime.status_sandbox(&id), outer.clone());
    assert_eq!(asked.await.unwrap_err().kind(), ErrorKind::NotFound);
    drop((outer, guard));
    assert!(telemetry.shutdown());

    let spans = memory.0.lock().unwrap();
    let span = |name: &str| spans.iter().find(|span| span.name == name);
    let operation = span("status_sandbox").expect("the operation's span");
    let outer = span("outer").expect("the caller's span");
    assert_eq!(operation.parent_span_id, outer.span_context.span_id());
    assert_eq!(
        attribute(operation, "subsystem").as_deref(),
        Some("sandbox")
    );
    assert_eq!(attribute(operation, "sandbox").as_deref(), Some("nobody"));
}
