//! The end of a supervised sandbox: undo everything, then say in the record what happened.

use std::sync::Arc;
use std::time::Duration;

use virtcontainers_store::{Lease, LeaseMode};
use virtcontainers_types::UndoEntry;

use super::control::Report;
use super::inbox::Wish;
use super::{End, Hosting, Session, tell};
use crate::end;
use crate::error::{Context, Error, ErrorKind};
use crate::last_words::in_one_line;
use crate::runtime::Runtime;
use crate::undo::{self, Extent, Undoer};

/// How long those who stand for processes may take to hear of their end.
const LAST_CALL: Duration = Duration::from_secs(1);

/// What becomes of the record.
#[derive(Debug)]
enum Verdict {
    /// It belongs to whoever holds the lease now.
    Leave,
    /// It goes.
    Remove,
    /// The container ended and the machine was taken down.
    Stopped,
    /// Something was lost.
    Failed(String),
}

/// Undoes the sandbox's effects and settles its record. Nothing more can be done about a failure
/// here than to log it: the ledger keeps what was not undone, for the next call.
pub(super) async fn finish(mut session: Session<'_>, end: End) {
    session.inbox.news.ended.send_modify(|ended| {
        ended.exits.clone_from(&session.exits);
        ended.complete = true;
        ended.lost = end.loss();
    });
    let (verdict, extent, failure) = match end {
        // The creator waits for the answer, holds the lease and removes the record.
        End::BootFailed(error) => (Verdict::Leave, Extent::Delete, Some(error)),
        End::CreatorGone => (Verdict::Remove, Extent::Delete, None),
        End::Stopped(told) => {
            // Their stream is closed when this process ends, or this task.
            told.await.unwrap_or_default();
            (Verdict::Leave, Extent::Stop, None)
        }
        End::Terminated => (
            Verdict::Failed("its supervisor was ended by SIGTERM".to_owned()),
            Extent::Stop,
            None,
        ),
        End::ContainerEnded => (Verdict::Stopped, Extent::Stop, None),
        End::MachineLost(exit) => (Verdict::Failed(exit.to_string()), Extent::Stop, None),
        End::AgentLost(error) => (Verdict::Failed(in_one_line(&error)), Extent::Stop, None),
    };
    let undone = undo_effects(&session, extent).await;
    if let Err(error) = &undone {
        tracing::error!(%error, "the sandbox is not wholly cleaned up");
    }
    let undone = undone.map(|undone| {
        // Whoever stopped it finds little to do. What is undone twice does no harm.
        if extent == Extent::Stop
            && let Err(error) = undo::forget_stopped(&session.ledger, undone)
        {
            tracing::warn!(%error, "what was undone is undone again by the next call");
        }
    });
    if let Some(error) = failure {
        tell(&mut session.creator, Report::Failed(error.to_wire())).await;
        return;
    }
    if let Err(error) = settle(&mut session, verdict, undone.is_ok()).await {
        tracing::error!(%error, "the end of the sandbox cannot be recorded");
    }
    session.inbox.dismiss(LAST_CALL).await;
}

async fn undo_effects(session: &Session<'_>, extent: Extent) -> Result<Vec<UndoEntry>, Error> {
    let ledger = session.ledger.clone();
    let backend = Arc::clone(&session.host.backend);
    let deadline = session.begin.plan.machine.deadlines.delete;
    let undo = move || {
        undo::undo_all(
            &ledger,
            backend.as_ref(),
            Undoer::Supervisor,
            extent,
            deadline,
        )
    };
    match session.hosting {
        // Nothing else runs here.
        Hosting::Process => undo(),
        Hosting::Task(_) => tokio::task::spawn_blocking(undo).await.map_err(|error| {
            Error::new(ErrorKind::Internal, "undoing a sandbox died").because(error)
        })?,
    }
}

async fn settle(session: &mut Session<'_>, verdict: Verdict, undone: bool) -> Result<(), Error> {
    if matches!(verdict, Verdict::Leave) {
        return Ok(());
    }
    let Some(mut lease) = lease(session).await? else {
        return Ok(());
    };
    let id = lease.id().clone();
    let record = match verdict {
        Verdict::Leave => return Ok(()),
        Verdict::Remove if undone => {
            let containers = lease.record().containers.clone();
            lease
                .remove()
                .during(|| format!("cannot remove the record of sandbox {id}"))?;
            Runtime::run_poststop(&id, containers).await;
            return Ok(());
        }
        Verdict::Remove => end::failed(
            lease.record(),
            &session.exits,
            "it could not be wholly cleaned up when its creator ended",
        ),
        Verdict::Stopped => end::stopped(lease.record(), &session.exits),
        Verdict::Failed(why) => end::failed(lease.record(), &session.exits, &why),
    };
    lease
        .commit(record)
        .during(|| format!("cannot store the end of sandbox {id}"))
}

/// The exclusive lease, unless somebody who has it asks for the end meanwhile: then the record is
/// theirs.
async fn lease(session: &mut Session<'_>) -> Result<Option<Lease>, Error> {
    let store = Arc::clone(&session.host.store);
    let id = session.begin.config.id.clone();
    let deadline = session.begin.plan.machine.deadlines.lock;
    let open = tokio::task::spawn_blocking({
        let id = id.clone();
        move || store.open(&id, LeaseMode::Exclusive, "supervise", deadline)
    });
    let stop_asked = async { while !matches!(session.inbox.next().await, Wish::Stop { .. }) {} };
    tokio::select! {
        opened = open => {
            let opened = opened.map_err(|error| {
                Error::new(ErrorKind::Internal, "taking a lease died").because(error)
            })?;
            opened.map(Some).during(|| format!("cannot take the lease of sandbox {id}"))
        }
        () = stop_asked => Ok(None),
    }
}
