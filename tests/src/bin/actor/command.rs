//! The commands of an actor: one operation, a whole life, or a storm of them.
//!
//! An operation is a verb with its arguments: `create`, `stop force`, `create-container ID`,
//! `annotate NUMBER`.

use anyhow::{Context, Result, bail};
use virtcontainers::types::ContainerId;
use virtcontainers_tests::history::{Call, Ending, Verb, now};

use crate::random::Random;
use crate::stage::Stage;

/// The word that makes an operation insist.
const FORCE: &str = "force";

/// Whether all went well.
pub(crate) async fn carry_out(stage: &mut Stage, command: &str, words: &[String]) -> Result<bool> {
    match command {
        "life" => live(stage).await,
        "storm" => match words {
            [seed, millis] => storm(stage, seed.parse()?, millis.parse()?).await,
            _ => bail!("storm SEED MILLISECONDS"),
        },
        verb => {
            let call = call(verb, words)?;
            let ending = stage.call(call).await?;
            Ok(matches!(ending, Ending::Done { .. }))
        }
    }
}

fn call(verb: &str, words: &[String]) -> Result<Call> {
    let verb: Verb = serde_json::from_value(verb.into()).context("no such operation")?;
    let mut call = Call::of(verb);
    for word in words {
        match verb {
            _ if word == FORCE => call.force = true,
            Verb::Annotate => call.annotation = Some((own_key(), word.parse()?)),
            _ => call.container = Some(ContainerId::new(word)?),
        }
    }
    Ok(call)
}

/// Annotations of this process: nobody else sets them.
fn own_key() -> String {
    format!("of-{}", std::process::id())
}

/// A second container of the sandbox.
fn second(stage: &Stage, number: u32) -> Result<ContainerId> {
    Ok(ContainerId::new(format!("{}-{number}", stage.setting.id))?)
}

/// A sandbox from its creation to its end, through every kind of effect. Ends with the first
/// operation that fails.
async fn live(stage: &mut Stage) -> Result<bool> {
    let container = Some(second(stage, 1)?);
    let of_second = |verb| Call {
        container: container.clone(),
        ..Call::of(verb)
    };
    let calls = [
        Call::of(Verb::Create),
        Call::of(Verb::Start),
        Call::of(Verb::Exec),
        of_second(Verb::CreateContainer),
        of_second(Verb::StartContainer),
        of_second(Verb::StopContainer),
        of_second(Verb::DeleteContainer),
        Call::of(Verb::Pause),
        Call::of(Verb::Resume),
        Call::of(Verb::Stop),
        Call::of(Verb::Start),
        Call::of(Verb::Stop),
        Call::of(Verb::Delete),
    ];
    for call in calls {
        if !matches!(stage.call(call).await?, Ending::Done { .. }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What happens in a storm, and how often.
const MIX: &[(u64, Verb)] = &[
    (6, Verb::Create),
    (8, Verb::Start),
    (3, Verb::Stop),
    (6, Verb::Pause),
    (10, Verb::Resume),
    (1, Verb::Delete),
    (14, Verb::Status),
    (6, Verb::List),
    (14, Verb::Annotate),
    (8, Verb::CreateContainer),
    (8, Verb::StartContainer),
    (4, Verb::StopContainer),
    (4, Verb::DeleteContainer),
    (2, Verb::Kill),
    (6, Verb::Exec),
];

/// Random operations until the time is over. Errors are told, and are for the reader of the history
/// to judge.
async fn storm(stage: &mut Stage, seed: u64, millis: u64) -> Result<bool> {
    let mut random = Random::new(seed);
    let end = now() + millis * 1_000_000;
    let mut annotation = 0;
    while now() < end {
        let verb = random.pick(MIX).context("nothing to do")?;
        let number = random.pick(&[(1, 1), (1, 2)]).unwrap_or(1);
        let mut call = Call::of(verb);
        match verb {
            Verb::CreateContainer
            | Verb::StartContainer
            | Verb::StopContainer
            | Verb::DeleteContainer
            | Verb::Kill => call.container = Some(second(stage, number)?),
            Verb::Annotate => {
                annotation += 1;
                call.annotation = Some((own_key(), annotation));
            }
            Verb::Delete => call.force = random.pick(&[(1, true), (3, false)]).unwrap_or(false),
            _ => {}
        }
        stage.call(call).await?;
    }
    Ok(true)
}
