//! What a log can tell of a call.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::Instrument as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::*;

/// Each span as its ancestors' names, its own and its fields.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let scope = context.span_scope(id).into_iter();
        let names = scope.flat_map(|scope| scope.from_root().map(|span| span.name()));
        let mut text = Text(names.collect::<Vec<_>>().join("/"));
        attributes.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

#[tokio::test]
async fn a_call_is_a_span_below_the_operation_that_makes_it() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);

    let fake = FakeAgent::builder().build();
    let calls = async {
        let agent = sandbox(&fake).await;
        agent.stats_container(&id("web")).await.unwrap_err();
        agent
            .signal_process(&exec("db", "sh"), 9)
            .await
            .unwrap_err();
    };
    let operation = tracing::info_span!("kill_container");
    calls.instrument(operation).await;

    let told = spans.0.lock().unwrap().clone();
    let ours = told.iter().filter(|span| span.contains("agent_call"));
    let ours: Vec<&str> = ours.map(String::as_str).collect();
    let expected = [
        r#"kill_container/agent_call subsystem="agent" method="check""#,
        r#"kill_container/agent_call subsystem="agent" method="create_sandbox""#,
        r#"kill_container/agent_call subsystem="agent" method="stats_container" container="web""#,
        r#"kill_container/agent_call subsystem="agent" method="signal_process" container="db""#,
    ];
    assert_eq!(ours, expected);
}
