//! What a log can tell of a command.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::Instrument as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::{SOON, connected};

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
        self.0.lock().expect("no panic").push(text.0);
    }
}

#[tokio::test]
async fn a_command_is_a_span_below_the_operation_that_asks() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);

    let (monitor, peer) = connected().await;
    let play = async {
        for _ in 0..2 {
            let (_, id) = peer.hear().await;
            peer.answer(id, "{}").await;
        }
    };
    let asked = async {
        monitor.execute(qapi::qmp::stop {}, SOON).await?;
        monitor.execute(qapi::qmp::cont {}, SOON).await
    };
    let asked = asked.instrument(tracing::info_span!("pause_sandbox"));
    let (answer, ()) = tokio::join!(asked, play);
    answer.expect("empty answers");

    let told = spans.0.lock().expect("no panic").clone();
    let expected = [
        r#"qmp subsystem="qemu" command="qmp_capabilities" monitor="mon""#,
        "pause_sandbox",
        r#"pause_sandbox/qmp subsystem="qemu" command="stop" monitor="mon""#,
        r#"pause_sandbox/qmp subsystem="qemu" command="cont" monitor="mon""#,
    ];
    assert_eq!(told, expected);
}
