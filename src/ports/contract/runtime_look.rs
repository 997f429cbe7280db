//! Promises about what is seen of containers: endings, logs, events, use, health, programs run in them.

use std::time::Duration;

use futures_util::StreamExt;

use crate::base::clock::Millis;
use crate::base::fault::Kind;
use crate::base::ids::ContainerId;
use crate::model::container::{Health, State};
use crate::model::exec::{ExecInput, ExecOutput, ExecSession, ExecWanted};
use crate::model::pool::{HealthCheck, PoolSpec};
use crate::ports::contract::runtime::ContractEnv;
use crate::ports::contract::runtime_kit::{Kept, OrBroken, ensure, fails, in_time, same};
use crate::ports::contract::scripts;
use crate::ports::runtime::{LogWanted, RawLine};

/// An id that no engine has.
const ABSENT: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

pub(super) async fn ping_answers_and_images_show_the_one_in_use(env: &ContractEnv) -> Kept {
    env.runtime.ping().await.or_broken("ping")?;
    let images = env.runtime.images().await.or_broken("images")?;
    let named = |reference: &String| *reference == env.image || *reference == format!("{}:latest", env.image);
    let Some((_, image)) = images.iter().find(|(reference, _)| named(reference)) else {
        return Err(format!("{} is on the host and not in {:?}", env.image, images.keys()));
    };
    ensure(image.id.raw().starts_with("sha256:"), || format!("its id is no digest: {:?}", image.id))
}

pub(super) async fn ending_tells_exit_status(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        env.wait_for(&id, "exited with 3", |c| c.state == State::Exited && c.exit == Some(3)).await?;
        let ending = env.runtime.ending(&id).await.or_broken("ending")?;
        same("the exit status", &ending.exit, &3)?;
        same("the memory kill", &ending.oom, &false)?;
        let (Some(started), Some(finished)) = (ending.started, ending.finished) else {
            return Err(format!("a time is missing in {ending:?}"));
        };
        ensure(started.0 > 0 && started <= finished, || format!("it ended before it started: {ending:?}"))
    };
    env.with_running(&env.script(scripts::FAILS), check).await?;
    let absent = env.runtime.ending(&ContainerId::new(ABSENT)).await;
    fails("the ending of an absent one", absent, Kind::NotFound).map(drop)
}

pub(super) async fn inspect_is_json_with_the_id(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        let json = env.runtime.inspect(&id).await.or_broken("inspect")?;
        let json: serde_json::Value = serde_json::from_str(&json).map_err(|why| why.to_string())?;
        same("the id", &json.get("Id").and_then(|v| v.as_str()), &Some(id.as_str()))
    };
    env.with_running(&env.script(scripts::IDLE), check).await
}

pub(super) async fn inspect_of_absent_is_not_found(env: &ContractEnv) -> Kept {
    let absent = ContainerId::new(ABSENT);
    fails("inspect", env.runtime.inspect(&absent).await, Kind::NotFound)?;
    let logs = env.runtime.logs(&absent, &LogWanted::default()).await.map(drop);
    fails("logs", logs, Kind::NotFound).map(drop)
}

/// All lines of a log that is not followed, or the first `enough` of one that is.
async fn lines(
    env: &ContractEnv,
    id: &ContainerId,
    wanted: LogWanted,
    enough: usize,
) -> Result<Vec<RawLine>, String> {
    let stream = env.runtime.logs(id, &wanted).await.or_broken("logs")?;
    let read = in_time("the log", stream.take(enough).collect::<Vec<_>>()).await?;
    read.into_iter().map(|line| line.or_broken("a log line")).collect()
}

fn texts(lines: &[RawLine]) -> Vec<&str> {
    lines.iter().map(|l| l.text.raw()).collect()
}

pub(super) async fn logs_come_in_order_with_stamps(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        let read =
            lines(env, &id, LogWanted { follow: true, ..LogWanted::default() }, scripts::TALKS_LINES.len())
                .await?;
        let found: Vec<(&str, bool)> = read.iter().map(|l| (l.text.raw(), l.stderr)).collect();
        same("the log", &found.as_slice(), &scripts::TALKS_LINES)?;
        ensure(read.is_sorted_by_key(|l| l.at), || format!("the stamps are out of order: {read:?}"))?;
        ensure(read.iter().all(|l| l.at.0 > 0), || format!("a stamp is missing: {read:?}"))
    };
    env.with_running(&env.script(scripts::TALKS), check).await
}

pub(super) async fn logs_tail_and_since(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        env.wait_for(&id, "exited", |c| c.state == State::Exited).await?;
        let tail = lines(env, &id, LogWanted { tail: Some(2), ..LogWanted::default() }, 99).await?;
        same("the last two lines", &texts(&tail), &vec!["c", "d"])?;
        let all = lines(env, &id, LogWanted::default(), 99).await?;
        same("all lines", &texts(&all), &vec!["a", "b", "c", "d"])?;
        let since = all.get(2).map(|l| l.at);
        let later = lines(env, &id, LogWanted { since, ..LogWanted::default() }, 99).await?;
        same("the lines since the third", &texts(&later), &vec!["c", "d"])
    };
    env.with_running(&env.script(scripts::SPELLS), check).await
}

pub(super) async fn hostile_log_lines_arrive_unchanged(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        env.wait_for(&id, "exited", |c| c.state == State::Exited).await?;
        let read = lines(env, &id, LogWanted::default(), 99).await?;
        same("the log", &texts(&read).as_slice(), &scripts::HOSTILE_LINES)
    };
    env.with_running(&env.script(scripts::HOSTILE), check).await
}

pub(super) async fn events_hint_at_start_and_die(env: &ContractEnv) -> Kept {
    let mut events = env.runtime.events().await.or_broken("events")?;
    let check = |id: ContainerId| async move {
        env.runtime.stop(&id, 0).await.or_broken("stop")?;
        let mut seen = Vec::new();
        let both = async {
            while let Some(event) = events.next().await {
                let event = event.or_broken("an event")?;
                if event.container.as_ref() == Some(&id) {
                    ensure(event.at > Millis(0), || format!("{event:?} has no time"))?;
                    seen.push(event.action.raw().to_owned());
                }
                if ["start", "die"].iter().all(|wanted| seen.iter().any(|s| s == wanted)) {
                    return Ok(());
                }
            }
            Err(format!("the stream ended after {seen:?}"))
        };
        in_time("the events", both).await?
    };
    env.with_running(&env.script(scripts::IDLE), check).await
}

pub(super) async fn usage_of_running_only(env: &ContractEnv) -> Kept {
    let idle = env.runtime.create(&env.tag()?, &env.script(scripts::IDLE)).await.or_broken("create")?;
    let stopped = idle.clone();
    let mut busy = env.script(scripts::BUSY);
    busy.resources.memory_limit = Some(64 << 20);
    let check = |id: ContainerId| async move {
        let ids = [id.clone(), stopped.clone()];
        env.runtime.usage(&ids).await.or_broken("usage")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = env.runtime.usage(&ids).await.or_broken("usage")?;
        ensure(!second.contains_key(&stopped), || "one that does not run is measured".to_owned())?;
        let Some(usage) = second.get(&id) else { return Err("the running one is not measured".to_owned()) };
        same("the memory limit", &usage.memory_limit, &Some(64 << 20))?;
        ensure(usage.memory > 0 && usage.memory < 64 << 20, || {
            format!("the memory makes no sense: {usage:?}")
        })?;
        // A busy loop on a shared machine gets some of a core and no more than one.
        let sane = usage.cpu_milli.is_some_and(|cpu| (50..1300).contains(&cpu));
        ensure(sane, || format!("the CPU use makes no sense: {usage:?}"))
    };
    let kept = env.with_running(&busy, check).await;
    env.clean(&[idle], kept).await
}

pub(super) async fn health_turns_healthy_and_unhealthy(env: &ContractEnv) -> Kept {
    let health = HealthCheck {
        test: vec!["CMD-SHELL".to_owned(), scripts::SICKENS_CHECK.to_owned()],
        interval_ms: Some(1000),
        timeout_ms: Some(5000),
        retries: Some(1),
        start_period_ms: None,
    };
    let spec = PoolSpec { healthcheck: Some(health), ..env.script(scripts::SICKENS) };
    let check = |id: ContainerId| async move {
        env.wait_for(&id, "healthy", |c| c.health == Health::Healthy).await?;
        env.wait_for(&id, "unhealthy", |c| c.health == Health::Unhealthy && c.state == State::Running).await
    };
    env.with_running(&spec, check).await?;
    let check = |id: ContainerId| async move {
        env.wait_for(&id, "running without a check", |c| {
            c.health == Health::None && c.state == State::Running
        })
        .await
    };
    env.with_running(&env.script(scripts::IDLE), check).await
}

/// Reads a session to its end: output, error output, last word.
async fn read_all(session: ExecSession) -> Result<(String, String, ExecOutput), String> {
    let ExecSession { input, mut output } = session;
    drop(input);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = async {
        while let Some(piece) = output.recv().await {
            match piece {
                ExecOutput::Out(bytes) => out.extend(bytes),
                ExecOutput::Err(bytes) => err.extend(bytes),
                last @ (ExecOutput::Exit(_) | ExecOutput::Lost(_)) => return Ok(last),
            }
        }
        Err("the session ended without a last word".to_owned())
    };
    let last = in_time("the end of the session", ended).await??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(out), text(err), last))
}

fn program(words: &[&str]) -> ExecWanted {
    ExecWanted { command: words.iter().map(|s| (*s).to_owned()).collect(), tty: None, stdin: false }
}

pub(super) async fn exec_runs_and_tells_status(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        let plain = program(&["sh", "-c", scripts::EXEC_TALKS]);
        let session = env.runtime.exec(&id, &plain).await.or_broken("exec")?;
        let (out, err, last) = read_all(session).await?;
        same("the output", &(out.as_str(), err.as_str(), last), &("out\n", "err\n", ExecOutput::Exit(5)))?;
        // Told its size twice: the first may come before the program has its terminal.
        let tty = ExecWanted { tty: Some((99, 33)), ..program(&["sh", "-c", scripts::EXEC_SIZE]) };
        let session = env.runtime.exec(&id, &tty).await.or_broken("exec with a terminal")?;
        let resized = session.input.send(ExecInput::Resize(99, 33)).await;
        ensure(resized.is_ok(), || "the session takes no input".to_owned())?;
        let (out, _, last) = read_all(session).await?;
        same("the terminal's size", &(out.trim(), last), &("33 99", ExecOutput::Exit(0)))
    };
    env.with_running(&env.script(scripts::IDLE), check).await?;
    let absent = env.runtime.exec(&ContainerId::new(ABSENT), &program(&["true"])).await;
    fails("exec in an absent one", absent, Kind::NotFound).map(drop)
}

pub(super) async fn exec_feeds_stdin(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        let wanted = ExecWanted { stdin: true, ..program(&["sh", "-c", scripts::EXEC_REPEATS]) };
        let session = env.runtime.exec(&id, &wanted).await.or_broken("exec")?;
        for text in ["one\n", "two\n"] {
            let sent = session.input.send(ExecInput::Bytes(text.as_bytes().to_vec())).await;
            ensure(sent.is_ok(), || "the session takes no input".to_owned())?;
        }
        let (out, err, last) = read_all(session).await?;
        same("the output", &(out.as_str(), err.as_str(), last), &("one\ntwo\nend\n", "", ExecOutput::Exit(0)))
    };
    env.with_running(&env.script(scripts::IDLE), check).await
}
