//! What was before: runs that are over, and what an engine before this one left behind.

use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::engine::registry::replicator::Handle;
use crate::model::replication::{Cause, Line, Rule, RunState, RunView};
use crate::store::replication::{PAGE_MAX, RUNS_KEPT};

/// Tags of a run that are looked through for what it left undone, at most.
const TAGS_MAX: u32 = 10_000;

/// What is remembered of a rule.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Its last run.
    pub run: Option<RunView>,
    /// When a run of it that was to compare everything began last.
    pub since: Option<Millis>,
}

impl Handle {
    /// Runs that are over since this was asked last, oldest first.
    pub fn take_ended(&self) -> Vec<RunView> {
        self.with(|s| s.ended.drain(..).collect())
    }

    /// Only these rules are there: of others nothing is behind.
    pub fn keep_rules<'a>(&self, rules: impl Iterator<Item = &'a Rule>) {
        self.0.lags.keep(rules);
        self.0.changed.notify_one();
    }

    /// Reads what is remembered of a rule, and takes what its runs left undone for what is behind.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn recall(&self, rule: &Rule) -> Outcome<Past> {
        let runs = self.0.store.runs_of(&rule.name, RUNS_KEPT).await?;
        let whole = runs.iter().position(|run| run.cause != Cause::Event);
        let since = whole.and_then(|at| runs.get(at)).map(|run| run.began);
        // The last comparison of everything, and what events told since: the oldest first.
        for run in runs.iter().take(whole.map_or(0, |at| at + 1)).rev() {
            self.recall_run(rule, run).await?;
        }
        Ok(Past { run: runs.into_iter().next(), since })
    }

    async fn recall_run(&self, rule: &Rule, run: &RunView) -> Outcome<()> {
        let mut from = 0;
        while from < TAGS_MAX {
            let tags = self.0.store.run_tags(run.id, from, PAGE_MAX).await?;
            let Some((last, _)) = tags.last() else { break };
            from = last + 1;
            tags.iter().for_each(|(_, tag)| self.0.lags.seed(&rule.name, tag, run.began));
        }
        let is_whole = run.tags.unknown == 0 && matches!(run.state, RunState::Done | RunState::Incomplete);
        // One that ended in the middle of a comparison has no tags counted.
        if is_whole && run.cause != Cause::Event && run.compared > 0 {
            for to in &rule.targets {
                let (line, back) = (
                    Line { from: rule.source.clone(), to: to.clone() },
                    Line { from: to.clone(), to: rule.source.clone() },
                );
                self.with(|s| {
                    s.lines.compared(&line, run.began);
                    if rule.two_way {
                        s.lines.compared(&back, run.began);
                    }
                });
            }
        }
        Ok(())
    }
}
