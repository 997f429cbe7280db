//! A side that was rebuilt or restored from a backup joins anew: what is remembered of both is forgotten.

use std::collections::BTreeSet;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::replicator::Handle;
use crate::model::replication::Rule;
use crate::plan::replicate::filter::Selector;
use crate::store::replication::Note;

impl Handle {
    /// Forgets what is remembered of a rule's tags, and what was proposed to be deleted by it. So the next run of two masters copies
    /// what is absent from one side to it, and asks about every tag that both have otherwise. Gives how many tags it forgot.
    ///
    /// # Errors
    /// When a run of the rule goes on, or the journal cannot be read or written.
    pub async fn rejoin(&self, rule: &Rule) -> Outcome<usize> {
        let selector = Selector::of(rule)?;
        if let Some(run) = self.going_run(&rule.name) {
            return Err(Fault::new(Kind::Conflict, format!("{run} of {} goes on", rule.name))
                .hint(format!("wait until it is over, or end it: longshore replicate stop {run}")));
        }
        let (mut count, mut notes) = (0, Vec::new());
        for to in &rule.targets {
            let line = crate::model::replication::Line { from: rule.source.clone(), to: to.clone() };
            let all: BTreeSet<_> = self.store().known_repositories(&line).await?.into_iter().collect();
            for repository in all.into_iter().filter(|r| selector.wants_repository(r)) {
                let there = selector.at_target(&repository)?;
                count += self.store().known_count(&line, &repository, &there).await?;
                notes.push(Note::Forgotten(line.clone(), repository));
            }
        }
        notes.extend(self.matters().rejoined(&rule.name));
        self.note(notes).await?;
        self.stir();
        Ok(count)
    }
}
