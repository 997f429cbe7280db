//! Comparisons that move nothing: what differs, and how many bytes that is.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::base::fault::{Fault, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::registry::compare::{Comparison, Found, again_for_referrers};
use crate::engine::registry::pace::Pace;
use crate::engine::registry::pool::Pool;
use crate::engine::registry::replicator::Handle;
use crate::engine::registry::weigh::weigh;
use crate::model::oci::{Repository, Tag};
use crate::model::replication::{DiffRow, Difference, Rule};
use crate::plan::replicate::filter::Selector;

/// A comparison that moved nothing.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Every tag, in order of line, repository and tag.
    pub rows: Vec<DiffRow>,
    /// What could not be compared, in words. Rows may be missing then.
    pub unknown: Vec<Fault>,
    /// Tags that two masters had in common and that are gone from this one now, with the repository as the source calls it.
    pub lost: Vec<(Repository, Tag, RegistryName)>,
}

impl Handle {
    /// Compares both ends of a rule and moves nothing. What has to be moved is weighed.
    ///
    /// # Errors
    /// When it is not known what the source has.
    pub async fn diff(&self, rule: &Rule) -> Outcome<Diff> {
        let selector = Selector::of(rule)?;
        let began = self.0.clock.now();
        let pools = self.pools(rule)?;
        let ahead = pools.iter().take(rule.targets.len());
        let lines: Vec<(usize, Arc<Pool>)> = ahead.cloned().enumerate().collect();
        let found = Mutex::new(Diff::default());
        let tell = |new: Found| {
            let mut diff = found.lock().unwrap_or_else(PoisonError::into_inner);
            match new {
                Found::Tag(tag) => {
                    let mut row = tag.row;
                    if let Some(to) = tag.lacks {
                        again_for_referrers(&mut row, to);
                    }
                    if rule.two_way && row.difference == Difference::Extra && tag.known.gone_since.is_some() {
                        diff.lost.push((row.repository.clone(), row.tag.clone(), row.line.from.clone()));
                    }
                    diff.rows.push(row);
                }
                Found::Listed(..) => {}
                Found::Unknown(fault) => diff.unknown.push(fault),
            }
        };
        let pace = watch::Sender::new(Pace::Go);
        Comparison::new(rule, &selector, &lines, pace.subscribe(), &tell).all().await?;
        let mut diff = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        diff.rows.sort_by(|a, b| (&a.line, &a.repository, &a.tag).cmp(&(&b.line, &b.repository, &b.tag)));
        weigh(rule, &selector, &pools, &mut diff.rows).await;
        self.note_lag(rule, &diff, began);
        Ok(diff)
    }

    /// Keeps what a comparison has found, unless a run of the rule goes on and knows better.
    fn note_lag(&self, rule: &Rule, diff: &Diff, began: crate::base::clock::Millis) {
        let name = &rule.name;
        let runs = self.with(|s| s.runs.get(name).cloned());
        if runs.is_some_and(|run| !run.view().state.is_over()) {
            return;
        }
        let lags = &self.0.lags;
        lags.begin(name);
        diff.rows.iter().for_each(|row| lags.row(name, row, began));
        if diff.unknown.is_empty() {
            lags.finish(name, None);
            let lines: Vec<_> = self.pools(rule).into_iter().flatten().map(|p| p.ends.line.clone()).collect();
            self.with(|s| lines.iter().for_each(|line| s.lines.compared(line, began)));
        }
        self.0.changed.notify_one();
    }
}
