//! How each line stands: how far its target is behind, since when, and what goes over it now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::clock::Millis;
use crate::base::ids::RuleName;
use crate::engine::registry::matters::Matters;
use crate::engine::registry::pool::Pool;
use crate::engine::registry::progress::Meter;
use crate::engine::registry::run::Run;
use crate::model::replication::{Line, LineView, RunState, RunView};

/// How everything stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Views {
    /// The run of each rule that goes on, or the last one since this engine began.
    pub runs: Vec<RunView>,
    /// Every line that was used.
    pub lines: Vec<LineView>,
}

impl Views {
    /// The run of a rule.
    pub fn of_rule(&self, rule: &RuleName) -> Option<&RunView> {
        self.runs.iter().find(|run| run.rule == *rule)
    }
}

struct Memory {
    compared: Option<Millis>,
    behind_since: Option<Millis>,
    meter: Meter,
}

/// What is remembered of lines between two views.
#[derive(Default)]
pub struct Lines(BTreeMap<Line, Memory>);

impl Lines {
    /// The views of these runs and pools.
    pub fn views(
        &mut self,
        pools: &[Arc<Pool>],
        runs: &[(Arc<Run>, RunView)],
        matters: &Matters,
        now: Millis,
    ) -> Views {
        let lines = pools.iter().map(|pool| self.line(pool, runs, matters, now)).collect();
        Views { runs: runs.iter().map(|(_, view)| view.clone()).collect(), lines }
    }

    fn line(
        &mut self,
        pool: &Pool,
        runs: &[(Arc<Run>, RunView)],
        matters: &Matters,
        now: Millis,
    ) -> LineView {
        let line = &pool.ends.line;
        let fresh = || Memory { compared: None, behind_since: None, meter: Meter::new() };
        let memory = self.0.entry(line.clone()).or_insert_with(fresh);
        let carried = pool.carried.load(Ordering::Relaxed);
        memory.meter.sample(carried, carried);
        let (mut tags_behind, mut bytes_behind, mut trouble) = (0, 0, None);
        let (conflicts, reviews) = matters.counts(line);
        let is_on = |run: &Run| run.pools.iter().any(|p| p.ends.line == *line);
        for (run, view) in runs.iter().filter(|(run, _)| is_on(run)) {
            let (tags, bytes, why) = run.with(|parts| parts.behind(line));
            tags_behind += tags;
            bytes_behind += bytes;
            let is_bad = matches!(view.state, RunState::Failed | RunState::Incomplete);
            trouble = trouble.or(why).or_else(|| view.reason.clone().filter(|_| is_bad));
            if !matches!(view.state, RunState::Comparing | RunState::Failed) && view.tags.unknown == 0 {
                memory.compared = memory.compared.max(Some(view.began));
            }
        }
        memory.behind_since = (tags_behind > 0).then(|| memory.behind_since.unwrap_or(now));
        LineView {
            line: line.clone(),
            compared: memory.compared,
            tags_behind,
            bytes_behind,
            behind_since: memory.behind_since,
            conflicts,
            reviews,
            transfers: pool.transfers(),
            rate: memory.meter.rate(),
            budget: pool.ends.purse.active(),
            trouble,
        }
    }
}
