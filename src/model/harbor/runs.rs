//! Harbor's own replication: endpoints, policies, executions and tasks. An execution's state follows from its tasks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::text::Untrusted;
use crate::model::harbor::{Wellness, show};
use crate::model::replication::RunState;

/// Another registry that Harbor copies to or from ("registry" in Harbor's words).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its number; 0 is this Harbor itself.
    pub id: i64,
    /// Its name.
    pub name: Untrusted,
    /// Where it is.
    pub url: Untrusted,
    /// What it is (`harbor`, `docker-registry` …).
    pub kind: Untrusted,
    /// Its certificate is not checked.
    pub insecure: bool,
    /// Whether Harbor reaches it.
    pub health: Wellness,
    /// Whom Harbor logs in as there. The secret is never told.
    pub user: Option<Untrusted>,
}

impl Endpoint {
    /// This Harbor itself.
    pub fn is_local(&self) -> bool {
        self.id == 0
    }
}

/// When a policy runs by itself. By hand every policy can be started that is enabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyTrigger {
    /// Never.
    Manual,
    /// At times: six fields of cron in Harbor's time, the first being the second and always 0.
    Scheduled(Untrusted),
    /// At each push and delete; only where the source is this Harbor. What is missed is not caught up.
    Event,
    /// Anything else that it says.
    Other(Untrusted),
}

impl fmt::Display for PolicyTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyTrigger::Manual => f.pad("manual"),
            PolicyTrigger::Scheduled(cron) => write!(f, "scheduled {cron}"),
            PolicyTrigger::Event => f.pad("event"),
            PolicyTrigger::Other(word) => show(f, word),
        }
    }
}

/// One filter of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFilter {
    /// What it looks at: `name`, `tag`, `label`, `resource`.
    pub on: Untrusted,
    /// What it looks for; several labels are joined by commas.
    pub value: Untrusted,
    /// What matches is left out.
    pub exclude: bool,
}

/// A replication policy ("rule" on Harbor's pages).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: Untrusted,
    /// What it is for.
    pub description: Untrusted,
    /// Where images come from; none when Harbor does not say.
    pub from: Option<Endpoint>,
    /// Where they go.
    pub to: Option<Endpoint>,
    /// The first part of their path there, when it is another.
    pub namespace: Option<Untrusted>,
    /// How many parts of the path that replaces; -1 replaces all but the last.
    pub replaces: i64,
    /// When it runs by itself.
    pub trigger: PolicyTrigger,
    /// Which of them.
    pub filters: Vec<PolicyFilter>,
    /// Deletes go along; only with [`PolicyTrigger::Event`].
    pub deletes: bool,
    /// What is there under the same name is overwritten.
    pub overrides: bool,
    /// It can run.
    pub enabled: bool,
    /// What Harbor calls `speed`, **for each task**: its pages say kilobytes a second, its code means kilobits
    /// (`src/lib/iothrottler.go`). None means no limit.
    pub kilobits_per_s: Option<u64>,
    /// Layers go in parts of 10 MiB; none where this Harbor does not know that (before 2.6).
    pub by_chunk: Option<bool>,
    /// Never twice at once; none where this Harbor does not know that (before 2.13).
    pub single: Option<bool>,
}

impl Policy {
    /// The limit of each task in bytes a second.
    pub fn bytes_per_s(&self) -> Option<u64> {
        self.kilobits_per_s.map(|kilobits| kilobits.saturating_mul(128))
    }
}

/// How far an execution or a task is, in Harbor's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// `Pending`.
    Waiting,
    /// `InProgress`.
    Running,
    /// `Succeed`.
    Done,
    /// `Failed`.
    Failed,
    /// `Stopped`.
    Stopped,
    /// Anything else that it says; Harbor leaves the word out for an execution that has not begun.
    Other(Untrusted),
}

impl Progress {
    /// From Harbor's word (`convertExecution` and `convertTask` in `src/server/v2.0/handler/replication.go`).
    pub fn of(word: &str) -> Progress {
        match word {
            "Pending" => Progress::Waiting,
            "InProgress" => Progress::Running,
            "Succeed" => Progress::Done,
            "Failed" => Progress::Failed,
            "Stopped" => Progress::Stopped,
            other => Progress::Other(other.into()),
        }
    }

    /// True when nothing more happens; false where that is not known.
    pub fn is_over(&self) -> bool {
        matches!(self, Progress::Done | Progress::Failed | Progress::Stopped)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Waiting => f.pad("waiting"),
            Progress::Running => f.pad("running"),
            Progress::Done => f.pad("done"),
            Progress::Failed => f.pad("failed"),
            Progress::Stopped => f.pad("stopped"),
            Progress::Other(word) => show(f, word),
        }
    }
}

/// Tasks of an execution by how they stand. A task is one repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// All of them.
    pub total: u64,
    /// Waiting or running.
    pub running: u64,
    /// Done.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Stopped.
    pub stopped: u64,
}

/// One run of a policy. Harbor tells neither bytes nor rates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Its number.
    pub id: i64,
    /// Of which policy.
    pub policy: i64,
    /// How far it is, as Harbor has written down.
    pub said: Progress,
    /// Why, in Harbor's words; empty where it has none.
    pub why: Untrusted,
    /// What began it: `manual`, `scheduled`, `event_based`.
    pub trigger: Untrusted,
    /// When it began.
    pub began: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Its tasks.
    pub tasks: TaskCounts,
}

impl Execution {
    /// How far it is by its tasks; none while it has no tasks, or when their numbers do not add up.
    pub fn by_tasks(&self) -> Option<Progress> {
        let t = self.tasks;
        let sum = [t.running, t.done, t.failed, t.stopped].into_iter().fold(0, u64::saturating_add);
        match t {
            _ if t.total == 0 || sum != t.total => None,
            TaskCounts { running: 1.., .. } => Some(Progress::Running),
            TaskCounts { failed: 1.., .. } => Some(Progress::Failed),
            TaskCounts { stopped: 1.., .. } => Some(Progress::Stopped),
            _ => Some(Progress::Done),
        }
    }

    /// How far it is: by its tasks where they tell it. While they are all done and Harbor says that it runs, tasks may
    /// still be added: that is running.
    pub fn progress(&self) -> Progress {
        match self.by_tasks() {
            Some(by) if !(by.is_over() && self.said == Progress::Running && self.ended.is_none()) => by,
            _ => self.said.clone(),
        }
    }

    /// The same in the words of our own runs; none where Harbor uses a word that we do not know. Without tasks it is still
    /// listing what there is.
    pub fn run_state(&self) -> Option<RunState> {
        let partly = self.tasks.done > 0;
        Some(match self.progress() {
            Progress::Waiting => RunState::Comparing,
            Progress::Running if self.tasks.total == 0 => RunState::Comparing,
            Progress::Running => RunState::Moving,
            Progress::Done => RunState::Done,
            Progress::Failed if partly => RunState::Incomplete,
            Progress::Failed => RunState::Failed,
            Progress::Stopped => RunState::Stopped,
            // Harbor leaves the word out for one that has not begun.
            Progress::Other(word) if word.raw().is_empty() => RunState::Comparing,
            Progress::Other(_) => return None,
        })
    }

    /// True when what Harbor has written down cannot be so by its tasks: it says over while tasks run, or it says done
    /// while tasks have failed.
    pub fn disagrees(&self) -> bool {
        match self.by_tasks() {
            Some(Progress::Running) => self.said.is_over(),
            Some(by) => self.said.is_over() && self.said == Progress::Done && by != Progress::Done,
            None => false,
        }
    }
}

/// One task of an execution: one repository with its tags, copied one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: i64,
    /// Of which execution.
    pub execution: i64,
    /// How far it is.
    pub state: Progress,
    /// What it does: `copy`, `deletion`.
    pub operation: Untrusted,
    /// What it does it with: `image`, `artifact` …
    pub kind: Untrusted,
    /// The source, such as `library/busybox:[1.36,1.37]`, or `N item(s) in total`.
    pub from: Untrusted,
    /// The target.
    pub to: Untrusted,
    /// When it began.
    pub began: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
}

/// The log of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLog {
    /// Its lines, as they are.
    pub text: Untrusted,
    /// Earlier lines were left out: it was too long.
    pub cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(said: &str, [total, running, done, failed, stopped]: [u64; 5], ended: bool) -> Execution {
        Execution {
            id: 1,
            policy: 1,
            said: Progress::of(said),
            why: "".into(),
            trigger: "manual".into(),
            began: Some(Millis(0)),
            ended: ended.then_some(Millis(1)),
            tasks: TaskCounts { total, running, done, failed, stopped },
        }
    }

    #[test]
    fn the_state_follows_from_the_tasks() {
        for (said, tasks, ended, wanted, disagrees) in [
            ("InProgress", [0, 0, 0, 0, 0], false, Progress::Running, false),
            ("Failed", [0, 0, 0, 0, 0], true, Progress::Failed, false),
            ("InProgress", [3, 1, 2, 0, 0], false, Progress::Running, false),
            ("InProgress", [3, 0, 3, 0, 0], false, Progress::Running, false),
            ("InProgress", [3, 0, 2, 1, 0], true, Progress::Failed, false),
            ("Succeed", [3, 0, 3, 0, 0], true, Progress::Done, false),
            ("Succeed", [3, 0, 2, 1, 0], true, Progress::Failed, true),
            ("Succeed", [3, 1, 2, 0, 0], true, Progress::Running, true),
            ("Stopped", [3, 0, 2, 0, 1], true, Progress::Stopped, false),
            ("Stopped", [3, 0, 1, 1, 1], true, Progress::Failed, false),
            ("Succeed", [9, 0, 1, 0, 0], true, Progress::Done, false),
            ("Paused", [0, 0, 0, 0, 0], false, Progress::Other("Paused".into()), false),
        ] {
            let one = execution(said, tasks, ended);
            assert_eq!((one.progress(), one.disagrees()), (wanted, disagrees), "{said} {tasks:?}");
        }
    }

    #[test]
    fn runs_are_told_in_the_words_of_our_own() {
        for (said, tasks, ended, wanted) in [
            ("Pending", [0, 0, 0, 0, 0], false, Some(RunState::Comparing)),
            ("", [0, 0, 0, 0, 0], false, Some(RunState::Comparing)),
            ("InProgress", [0, 0, 0, 0, 0], false, Some(RunState::Comparing)),
            ("InProgress", [3, 1, 1, 1, 0], false, Some(RunState::Moving)),
            ("Succeed", [3, 0, 3, 0, 0], true, Some(RunState::Done)),
            ("Succeed", [3, 0, 2, 1, 0], true, Some(RunState::Incomplete)),
            ("Failed", [3, 0, 0, 3, 0], true, Some(RunState::Failed)),
            ("Failed", [0, 0, 0, 0, 0], true, Some(RunState::Failed)),
            ("Stopped", [3, 0, 2, 0, 1], true, Some(RunState::Stopped)),
            ("Paused", [0, 0, 0, 0, 0], false, None),
        ] {
            assert_eq!(execution(said, tasks, ended).run_state(), wanted, "{said} {tasks:?}");
        }
    }

    #[test]
    fn unknown_states_are_not_over() {
        assert!(!Progress::of("Paused").is_over() && !Progress::of("").is_over());
        assert_eq!(Progress::of("Paus\u{1b}ed").to_string(), r"Paus\eed");
    }
}
