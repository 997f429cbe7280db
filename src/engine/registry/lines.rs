//! How each line stands: how far its target is behind, since when, and what goes over it now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::clock::Millis;
use crate::base::ids::RuleName;
use crate::engine::registry::lag::Lags;
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
        (lags, matters): (&Lags, &Matters),
    ) -> Views {
        let lines = pools.iter().map(|pool| self.line(pool, runs, lags, matters)).collect();
        Views { runs: runs.iter().map(|(_, view)| view.clone()).collect(), lines }
    }

    fn memory(&mut self, line: &Line) -> &mut Memory {
        self.0.entry(line.clone()).or_insert_with(|| Memory { compared: None, meter: Meter::new() })
    }

    /// A comparison of everything on this line began then.
    pub fn compared(&mut self, line: &Line, at: Millis) {
        let memory = self.memory(line);
        memory.compared = memory.compared.max(Some(at));
    }

    fn line(
        &mut self,
        pool: &Pool,
        runs: &[(Arc<Run>, RunView)],
        lags: &Lags,
        matters: &Matters,
    ) -> LineView {
        let line = &pool.ends.line;
        let memory = self.memory(line);
        let carried = pool.carried.load(Ordering::Relaxed);
        memory.meter.sample(carried, carried);
        let (mut left, mut trouble) = (0, None);
        let (conflicts, reviews) = matters.counts(line);
        let is_on = |run: &Run| run.pools.iter().any(|p| p.ends.line == *line);
        for (run, view) in runs.iter().filter(|(run, _)| is_on(run)) {
            let why = run.with(|parts| parts.trouble(line));
            left += run.with(|parts| parts.left(line));
            let is_bad = matches!(view.state, RunState::Failed | RunState::Incomplete);
            trouble = trouble.or(why).or_else(|| view.reason.clone().filter(|_| is_bad));
            memory.compared = memory.compared.max(run.with(|parts| parts.whole_since()));
        }
        let lag = lags.of(line);
        LineView {
            line: line.clone(),
            compared: memory.compared,
            tags_behind: lag.tags,
            bytes_behind: lag.bytes + left,
            behind_since: lag.since,
            conflicts,
            reviews,
            transfers: pool.transfers(),
            rate: memory.meter.rate(),
            budget: pool.ends.purse.active(),
            trouble: trouble.or(lag.why),
            limits: pool.ends.purse.limits(),
        }
    }
}
