//! What a Harbor tells, in sentences and words: its parts, its room, and its own replication in the words of ours.

use crate::base::clock::Millis;
use crate::base::text::{self, Untrusted, count};
use crate::model::harbor::runs::{Execution, Progress, Task, TaskCounts};
use crate::model::harbor::view::{AccessView, HarborView, PolicyView, Quotas};
use crate::model::harbor::{Login, Quota, Wellness};
use crate::model::replication::RunState;
use crate::view::units::{self, Grade};

/// Parts that are not well are named one by one up to this many.
const NAMED: usize = 4;

/// True when nobody has to look at it.
pub fn is_well(view: &HarborView) -> bool {
    view.why.is_empty() && view.health.as_ref().is_none_or(|h| h.status == Wellness::Well)
}

/// What a person should know of it, one sentence each: parts that are not well, and what could not be read.
pub fn notes(view: &HarborView) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(health) = view.health.as_ref().filter(|h| h.status != Wellness::Well) {
        let sick: Vec<String> = health
            .components
            .iter()
            .filter(|c| c.health != Wellness::Well)
            .map(|c| {
                let why = c.error.as_ref().map(|e| format!(" ({})", e.safe())).unwrap_or_default();
                format!("{} is {}{why}", c.name.safe(), c.health)
            })
            .collect();
        let more = sick.len().saturating_sub(NAMED);
        let more =
            if more > 0 { format!(", and {} more", count(more as u64, "part")) } else { String::new() };
        let parts: Vec<String> = sick.into_iter().take(NAMED).collect();
        out.push(match parts.is_empty() {
            true => format!("Harbor says that it is {}", health.status),
            false => format!("Harbor is {}: {}{more}", health.status, parts.join("; ")),
        });
    }
    if view.facts.as_ref().is_some_and(|f| f.read_only == Some(true)) {
        out.push("Harbor is read-only: nothing can be pushed or deleted".to_owned());
    }
    if let AccessView::Behind { why, .. } = &view.access {
        out.push(format!("grants could not be brought there: {}", why.safe()));
    }
    out.extend(view.why.iter().map(|why| format!("not all of it could be read: {}", why.safe())));
    out
}

/// All that is known of it, as `key: value` lines.
pub fn described(view: &HarborView, now: Millis) -> Vec<String> {
    let mut out = Vec::new();
    let Some(asked) = view.asked else { return vec!["harbor: is being asked for the first time".to_owned()] };
    out.push(format!("harbor: asked {}", units::ago(now.since(asked))));
    match &view.health {
        Some(health) => {
            out.push(format!("health: {}", health.status));
            out.extend(health.components.iter().map(|c| {
                let why = c.error.as_ref().map(|e| format!(": {}", e.safe())).unwrap_or_default();
                format!("part: {} {}{why}", c.name.safe(), c.health)
            }));
        }
        None => out.push("health: not known".to_owned()),
    }
    out.push(format!("login: {}", login(view.login.as_ref())));
    if let Some(read_only) = view.facts.as_ref().and_then(|f| f.read_only) {
        out.push(format!("read-only: {}", if read_only { "yes" } else { "no" }));
    }
    let number = |n: Option<u64>| n.map_or_else(|| "not known".to_owned(), |n| n.to_string());
    out.push(format!("projects: {}", number(view.projects.map(u64::from))));
    out.push(format!("repositories: {}", number(view.repositories)));
    if let Some(space) = view.space {
        let (free, total) = (text::bytes(space.free), text::bytes(space.total));
        out.push(format!("room: {free} of {total} free"));
    }
    if let Some(quotas) = &view.quotas {
        out.push(format!("quotas: {}", quotas_line(quotas)));
    }
    match &view.policies {
        Some(all) if all.is_empty() => out.push("policies: it has none of its own".to_owned()),
        Some(all) => out.extend(all.iter().map(|p| format!("policy: {}", policy_line(p, now)))),
        None => out.push("policies: not known; administrators of Harbor see them".to_owned()),
    }
    out.push(format!("access: {}", access(&view.access, now)));
    out.extend(view.why.iter().map(|why| format!("fault: {}", why.safe())));
    out
}

/// How it stands with our own projects, members and robots.
fn access(view: &AccessView, now: Millis) -> String {
    match view {
        AccessView::Apart => "grants do not follow to it (registry access-plan)".to_owned(),
        AccessView::Brought { at, waiting } if waiting.is_empty() => {
            format!("grants follow; as here {}", units::ago(now.since(*at)))
        }
        AccessView::Brought { waiting, .. } => {
            format!("grants follow; waits for registry access-plan --yes: {}", waiting.join("; "))
        }
        AccessView::Behind { since, why } => {
            format!("behind for {}: {}", units::age(now.since(*since)), why.safe())
        }
    }
}

/// As whom it knows us.
pub fn login(login: Option<&Login>) -> String {
    match login {
        Some(Login::User { name, admin: true }) => format!("{} (administrator)", name.safe()),
        Some(Login::User { name, admin: false }) => format!("{} (no administrator)", name.safe()),
        Some(Login::NoPerson) => "a robot".to_owned(),
        None => "not known".to_owned(),
    }
}

/// `12.3 GB in use; 3 projects have a limit, nearest to it feed with 9.1 of 10 GB (91 %)`.
fn quotas_line(quotas: &Quotas) -> String {
    let used = text::bytes(quotas.used);
    let Some(fullest) = &quotas.fullest else { return format!("{used} in use, no project has a limit") };
    let name = fullest.project.as_ref().map_or_else(|| "one without a name".to_owned(), shown);
    format!(
        "{used} in use; with a limit: {}, nearest to it {name} with {}",
        count(u64::from(quotas.limited), "project"),
        quota(fullest.quota)
    )
}

/// `9.1 GB of 10 GB`, or without a limit only what is in use.
pub fn quota(quota: Quota) -> String {
    let used = text::bytes(quota.used);
    match quota.limit {
        Some(limit) => format!("{used} of {}", text::bytes(limit)),
        None => format!("{used}, no limit"),
    }
}

fn shown(text: &Untrusted) -> String {
    text.safe().into_owned()
}

fn policy_line(policy: &PolicyView, now: Millis) -> String {
    let end = |name: &Option<Untrusted>| name.as_ref().map_or_else(|| "?".to_owned(), shown);
    let enabled = if policy.enabled { "" } else { ", disabled" };
    let last = match &policy.last {
        Some(run) => format!("; execution {} {}", run.id, run_line(run, now)),
        None => "; no execution known".to_owned(),
    };
    let (id, name) = (policy.id, policy.name.safe());
    format!("{name} ({id}) {} → {}, {}{enabled}{last}", end(&policy.from), end(&policy.to), policy.trigger)
}

/// How an execution stands, in the words of our own runs. One whose record cannot be so by its tasks is told as what they
/// say.
pub fn run_stands(run: &Execution) -> (Grade, String) {
    let grade = |state| match state {
        RunState::Comparing | RunState::Moving => Grade::Busy,
        RunState::Done => Grade::Ok,
        RunState::Paused | RunState::Stopped => Grade::Off,
        RunState::Incomplete | RunState::Failed => Grade::Bad,
    };
    match run.run_state() {
        Some(state) => (grade(state), state_word(state).to_owned()),
        None => (Grade::Warn, run.said.to_string()),
    }
}

/// The word for the state of a run.
pub fn state_word(state: RunState) -> &'static str {
    match state {
        RunState::Comparing => "comparing",
        RunState::Moving => "moving",
        RunState::Paused => "paused",
        RunState::Done => "done",
        RunState::Incomplete => "incomplete",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}

/// True when nothing more happens with it, as far as is known.
pub fn is_over(run: &Execution) -> bool {
    run.run_state().is_some_and(|s| !matches!(s, RunState::Comparing | RunState::Moving | RunState::Paused))
}

/// `moving: 2 of 4 repositories done, 1 failed, began 3m ago`.
pub fn run_line(run: &Execution, now: Millis) -> String {
    let (_, state) = run_stands(run);
    let tasks = tasks_line(run.tasks);
    let when = match (run.began, run.ended) {
        (_, Some(ended)) => format!(", ended {}", units::ago(now.since(ended))),
        (Some(began), None) => format!(", began {}", units::ago(now.since(began))),
        (None, None) => String::new(),
    };
    let why = if run.why.raw().is_empty() { String::new() } else { format!(": {}", run.why.safe()) };
    let odd = if run.disagrees() { format!(" (Harbor itself says {})", run.said) } else { String::new() };
    format!("{state}{odd}{tasks}{when}{why}")
}

fn tasks_line(t: TaskCounts) -> String {
    if t.total == 0 {
        return String::new();
    }
    let mut parts = vec![format!("{} of {} repositories done", t.done, t.total)];
    if t.failed > 0 {
        parts.push(format!("{} failed", t.failed));
    }
    if t.stopped > 0 {
        parts.push(format!("{} stopped", t.stopped));
    }
    format!(": {}", parts.join(", "))
}

/// How a task stands, in the words of the tags of our own runs.
pub fn task_stands(task: &Task) -> (Grade, String) {
    match &task.state {
        Progress::Waiting => (Grade::Off, "waiting".to_owned()),
        Progress::Running => (Grade::Busy, "moving".to_owned()),
        Progress::Done => (Grade::Ok, "done".to_owned()),
        Progress::Failed => (Grade::Bad, "failed".to_owned()),
        Progress::Stopped => (Grade::Off, "stopped".to_owned()),
        Progress::Other(_) => (Grade::Warn, task.state.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::harbor::{Component, HarborFacts, HarborHealth};

    fn run(said: &str, tasks: TaskCounts) -> Execution {
        Execution {
            id: 7,
            policy: 1,
            said: Progress::of(said),
            why: "".into(),
            trigger: "manual".into(),
            began: Some(Millis(0)),
            ended: None,
            tasks,
        }
    }

    #[test]
    fn a_sick_part_is_named_and_what_was_not_read_is_no_health() {
        let part = |name: &str, word: &str, error: Option<&str>| Component {
            name: name.into(),
            health: Wellness::of(word),
            error: error.map(Untrusted::from),
        };
        let mut view = HarborView { asked: Some(Millis(0)), ..HarborView::default() };
        assert!(described(&view, Millis(0)).contains(&"health: not known".to_owned()));
        view.health = Some(HarborHealth {
            status: Wellness::Sick,
            components: vec![
                part("core", "healthy", None),
                part("jobservice\u{1b}", "unhealthy", Some("i/o timeout")),
            ],
        });
        assert_eq!(notes(&view), ["Harbor is unhealthy: jobservice\\e is unhealthy (i/o timeout)"]);
        assert!(!is_well(&view));
        view.health = None;
        view.facts = Some(HarborFacts { read_only: Some(true), ..HarborFacts::default() });
        view.why = vec!["cannot list projects".into()];
        assert_eq!(
            notes(&view),
            [
                "Harbor is read-only: nothing can be pushed or deleted",
                "not all of it could be read: cannot list projects"
            ]
        );
    }

    #[test]
    fn its_runs_are_told_in_the_words_of_ours() {
        let tasks = TaskCounts { total: 4, running: 2, done: 1, failed: 1, stopped: 0 };
        let moving = run("InProgress", tasks);
        assert_eq!(
            run_line(&moving, Millis(180_000)),
            "moving: 1 of 4 repositories done, 1 failed, began 3m ago"
        );
        let wrong = TaskCounts { total: 2, running: 0, done: 1, failed: 1, stopped: 0 };
        let said = run_line(&Execution { ended: Some(Millis(0)), ..run("Succeed", wrong) }, Millis(0));
        assert!(said.starts_with("incomplete (Harbor itself says done): 1 of 2"), "{said}");
        assert_eq!(
            run_stands(&run("Paus\u{1b}ed", TaskCounts::default())),
            (Grade::Warn, "Paus\\eed".into())
        );
    }
}
