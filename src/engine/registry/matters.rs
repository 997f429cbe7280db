//! What waits for somebody: conflicts of two masters, and deletions. Kept in memory as in the journal; every change gives its notes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text::Untrusted;
use crate::engine::registry::debts::Debts;
use crate::model::oci::{Repository, Tag};
use crate::model::replication::known::{Answered, Conflict, Side};
use crate::model::replication::review::{DeleteItem, Going, Review};
use crate::model::replication::{Deletes, Line, Rule, RunId};
use crate::plan::replicate::difference::Sight;
use crate::store::replication::{Note, Owed};

/// A tag of a rule: the repository as the source calls it.
pub type Key = (RuleName, Repository, Tag);

#[derive(Default)]
struct State {
    conflicts: BTreeMap<Key, Conflict>,
    reviews: BTreeMap<(RuleName, RegistryName), Review>,
    /// Conflicts whose answers are being carried out.
    busy: BTreeSet<Key>,
    /// Registries that were seen to remove whole images only.
    whole: BTreeSet<RegistryName>,
}

/// All that waits.
#[derive(Default)]
pub struct Matters {
    state: Mutex<State>,
    /// What refers to tags and has still to be brought.
    pub debts: Debts,
}

/// The key of a conflict.
pub fn key(conflict: &Conflict) -> Key {
    (conflict.rule.clone(), conflict.repository.clone(), conflict.tag.clone())
}

fn is_known(sight: &Sight) -> bool {
    !matches!(sight, Sight::Unknown(_))
}

fn settled(key: &Key) -> Note {
    Note::Settled(key.0.clone(), key.1.clone(), key.2.clone())
}

impl Matters {
    /// What the journal has.
    pub fn new(conflicts: Vec<Conflict>, reviews: Vec<Review>, owed: Vec<Owed>) -> Matters {
        let conflicts = conflicts.into_iter().map(|c| (key(&c), c)).collect();
        let reviews = reviews.into_iter().map(|r| ((r.rule.clone(), r.line.to.clone()), r)).collect();
        let state = Mutex::new(State { conflicts, reviews, ..State::default() });
        Matters { state, debts: Debts::new(owed) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The conflicts of a rule, or of all.
    pub fn conflicts(&self, rule: Option<&RuleName>) -> Vec<Conflict> {
        let is_of = |c: &&Conflict| rule.is_none_or(|r| *r == c.rule);
        self.with(|s| s.conflicts.values().filter(is_of).cloned().collect())
    }

    /// The conflict about a tag.
    pub fn conflict(&self, key: &Key) -> Option<Conflict> {
        self.with(|s| s.conflicts.get(key).cloned())
    }

    /// The deletions of a rule, or of all, that wait or are being carried out.
    pub fn reviews(&self, rule: Option<&RuleName>) -> Vec<Review> {
        let is_of = |r: &&Review| rule.is_none_or(|rule| *rule == r.rule);
        self.with(|s| s.reviews.values().filter(is_of).cloned().collect())
    }

    /// Conflicts, and deletions that wait for a yes, on a line.
    pub fn counts(&self, line: &Line) -> (u32, u32) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let goes = |review: &Review, item: &DeleteItem| {
            let (from, to) = match item.at {
                Side::Target => (&review.line.from, &review.line.to),
                Side::Source => (&review.line.to, &review.line.from),
            };
            *from == line.from && *to == line.to
        };
        self.with(|s| {
            let conflicts = s.conflicts.values().filter(|c| c.line == *line).count();
            let of = |r: &Review| r.plan.items.iter().filter(|i| goes(r, i)).count();
            (count(conflicts), count(s.reviews.values().map(of).sum()))
        })
    }

    /// Whether a registry removes tags alone, as far as is known.
    pub fn removes_tags(&self, registry: &RegistryName) -> bool {
        self.with(|s| !s.whole.contains(registry))
    }

    /// A registry has said that it does not remove a tag alone.
    pub fn removes_no_tags(&self, registry: &RegistryName) {
        self.with(|s| s.whole.insert(registry.clone()));
    }

    /// What a comparison has found: all conflicts of the rule where it was `whole`; else those, and those that are none any more.
    pub fn compared(&self, rule: &RuleName, found: Vec<Conflict>, well: &[Key], whole: bool) -> Vec<Note> {
        self.with(|s| {
            let mut notes = Vec::new();
            let open: BTreeSet<Key> = found.iter().map(key).collect();
            let is_over = |k: &&Key| k.0 == *rule && !open.contains(*k) && (whole || well.contains(k));
            let over: Vec<Key> = s.conflicts.keys().filter(is_over).cloned().collect();
            for key in over {
                notes.push(settled(&key));
                s.conflicts.remove(&key);
            }
            for new in found {
                let old = s.conflicts.get(&key(&new));
                let is_same = old.is_some_and(|o| o.source == new.source && o.target == new.target);
                let same = old.filter(|_| is_same);
                let answered = same.and_then(|o| o.answered.clone());
                let trouble = same.and_then(|o| o.trouble.clone());
                let since = old.map_or(new.since, |o| o.since);
                let next = Conflict { since, answered, trouble, ..new };
                if old != Some(&next) {
                    notes.push(Note::Conflict(Box::new(next.clone())));
                    s.conflicts.insert(key(&next), next);
                }
            }
            notes
        })
    }

    /// A rule's deletions on a line, as a run has found them. What somebody said yes to is being carried out and not asked again.
    pub fn proposed(&self, mut new: Review) -> Vec<Note> {
        self.with(|s| {
            let at = (new.rule.clone(), new.line.to.clone());
            let old = s.reviews.get(&at);
            new.going = old.map(|o| o.going.clone()).unwrap_or_default();
            let is_going = |item: &DeleteItem| new.going.iter().any(|g| g.item.is_same_tag(item));
            new.plan.items =
                std::mem::take(&mut new.plan.items).into_iter().filter(|i| !is_going(i)).collect();
            s.put(at, new).into_iter().collect()
        })
    }

    /// Somebody has chosen.
    ///
    /// # Errors
    /// When there is no such conflict, or it is not what it was when that was chosen.
    pub fn answer(&self, key: &Key, answered: Answered) -> Outcome<Note> {
        self.with(|s| {
            let (rule, repository, tag) = key;
            let Some(conflict) = s.conflicts.get_mut(key) else {
                return Err(Fault::new(Kind::NotFound, format!("{repository}:{tag} is not in conflict"))
                    .hint(format!("see `longshore replicate conflicts {rule}`; a run looks anew")));
            };
            if conflict.source != answered.answer.source || conflict.target != answered.answer.target {
                let text = format!("{repository}:{tag} is not what it was when that was chosen");
                return Err(
                    Fault::new(Kind::Conflict, text).hint("look at the conflict again and choose anew")
                );
            }
            if s.busy.contains(key) {
                let by = conflict.answered.as_ref().map_or("somebody", |a| a.by.as_str());
                let text = format!("what {by} chose for {repository}:{tag} is being carried out");
                return Err(Fault::new(Kind::Conflict, text).hint("wait until that is done"));
            }
            (conflict.answered, conflict.trouble) = (Some(answered), None);
            Ok(Note::Conflict(Box::new(conflict.clone())))
        })
    }

    /// Begins to carry out an answer; none where there is nothing to do, or somebody does it already.
    pub fn take(&self, key: &Key) -> Option<(Conflict, Answered)> {
        self.with(|s| {
            let conflict = s.conflicts.get(key)?.clone();
            let answered = conflict.answered.clone()?;
            s.busy.insert(key.clone()).then_some((conflict, answered))
        })
    }

    /// An answer is carried out.
    pub fn resolved(&self, key: &Key) -> Vec<Note> {
        self.with(|s| {
            s.busy.remove(key);
            s.conflicts.remove(key).map(|_| settled(key)).into_iter().collect()
        })
    }

    /// An answer could not be carried out: it stays and is tried again, or it is dropped because the sides have changed. What
    /// both were seen to have then is what the next answer is for.
    pub fn unresolved(
        &self,
        key: &Key,
        why: &Fault,
        is_dropped: bool,
        seen: Option<(Sight, Sight)>,
    ) -> Vec<Note> {
        self.with(|s| {
            s.busy.remove(key);
            let Some(conflict) = s.conflicts.get_mut(key) else { return Vec::new() };
            conflict.trouble = Some(Untrusted::from(why.to_string()));
            conflict.answered = conflict.answered.take().filter(|_| !is_dropped);
            if let Some((source, target)) = seen.filter(|(s, t)| is_known(s) && is_known(t)) {
                (conflict.source, conflict.target) = (source.digest().cloned(), target.digest().cloned());
            }
            vec![Note::Conflict(Box::new(conflict.clone()))]
        })
    }

    /// The reviews that a run has found, if no other has compared since.
    fn of_run(s: &State, rule: &RuleName, run: RunId) -> Outcome<Vec<(RuleName, RegistryName)>> {
        let of_rule = s.reviews.iter().filter(|(_, r)| r.rule == *rule && !r.plan.items.is_empty());
        let all: Vec<_> = of_rule.map(|(at, r)| (at.clone(), r.run)).collect();
        let hint = || format!("see `longshore replicate deletes {rule}`");
        if all.is_empty() {
            return Err(
                Fault::new(Kind::NotFound, format!("no deletion of {rule} waits for a yes")).hint(hint())
            );
        }
        if let Some((_, other)) = all.iter().find(|(_, r)| *r != run) {
            let text = format!("{other} has compared since {run}: what it proposes was not looked at");
            return Err(Fault::new(Kind::Conflict, text).hint(hint()));
        }
        Ok(all.into_iter().map(|(at, _)| at).collect())
    }

    /// Somebody said yes to all that a run proposes. Gives how many tags that are.
    ///
    /// # Errors
    /// When nothing is proposed, or by another run.
    pub fn confirm(&self, rule: &RuleName, run: RunId, by: &str) -> Outcome<(usize, Vec<Note>)> {
        self.with(|s| {
            let (mut count, mut notes) = (0, Vec::new());
            for at in Matters::of_run(s, rule, run)? {
                let Some(mut review) = s.reviews.get(&at).cloned() else { continue };
                let items = std::mem::take(&mut review.plan.items);
                count += items.len();
                review.going.extend(items.into_iter().map(|item| Going { item, by: by.to_owned() }));
                notes.extend(s.put(at, review));
            }
            Ok((count, notes))
        })
    }

    /// Somebody said no to some. Gives them, with their lines.
    ///
    /// # Errors
    /// When nothing is proposed, by another run, or one of them is not proposed.
    pub fn spare(
        &self,
        rule: &RuleName,
        run: RunId,
        tags: &[(Repository, Tag)],
    ) -> Outcome<(Vec<(Line, DeleteItem)>, Vec<Note>)> {
        self.with(|s| {
            let all = Matters::of_run(s, rule, run)?;
            let (mut spared, mut notes) = (Vec::new(), Vec::new());
            for (repository, tag) in tags {
                let is_it = |i: &DeleteItem| i.repository == *repository && i.tag == *tag;
                if !all.iter().filter_map(|at| s.reviews.get(at)).any(|r| r.plan.items.iter().any(is_it)) {
                    let text = format!("the deletion of {repository}:{tag} is not proposed");
                    let hint = format!("see `longshore replicate deletes {rule}`");
                    return Err(Fault::new(Kind::NotFound, text).hint(hint));
                }
            }
            for at in all {
                let Some(mut review) = s.reviews.get(&at).cloned() else { continue };
                let is_spared = |i: &DeleteItem| tags.iter().any(|(r, t)| i.repository == *r && i.tag == *t);
                let (out, stay): (Vec<_>, Vec<_>) = review.plan.items.into_iter().partition(is_spared);
                spared.extend(out.into_iter().map(|item| (review.line.clone(), item)));
                review.plan.items = stay;
                notes.extend(s.put(at, review));
            }
            Ok((spared, notes))
        })
    }

    /// True while somebody's yes to a deletion counts.
    pub fn is_going(&self, review: &Review, item: &DeleteItem) -> bool {
        let at = (review.rule.clone(), review.line.to.clone());
        self.with(|s| s.reviews.get(&at).is_some_and(|r| r.going.iter().any(|g| g.item.is_same_tag(item))))
    }

    /// A deletion is over; if it was not done, for this reason.
    pub fn gone(&self, review: &Review, item: &DeleteItem, why_not: Option<&str>) -> Vec<Note> {
        self.with(|s| {
            let at = (review.rule.clone(), review.line.to.clone());
            let Some(mut review) = s.reviews.get(&at).cloned() else { return Vec::new() };
            review.going.retain(|g| !g.item.is_same_tag(item));
            review.plan.held.retain(|h| h.repository != item.repository || h.tag != item.tag);
            if let Some(why) = why_not {
                review.plan.held.push(item.held(why));
            }
            s.put(at, review).into_iter().collect()
        })
    }

    /// What was proposed to be deleted by a rule, or accepted and not done, is nothing any more.
    pub fn rejoined(&self, rule: &RuleName) -> Vec<Note> {
        self.with(|s| {
            let all: Vec<_> = s.reviews.keys().filter(|(of, _)| of == rule).cloned().collect();
            s.reviews.retain(|(of, _), _| of != rule);
            all.into_iter().map(|(rule, target)| Note::Reviewed(rule, target)).collect()
        })
    }

    /// Forgets what is no matter of these rules any more.
    pub fn keep(&self, rules: &[Rule]) -> Vec<Note> {
        let joins = |rule: &Rule, line: &Line| rule.source == line.from && rule.targets.contains(&line.to);
        self.with(|s| {
            let find =
                |name: &RuleName, line: &Line| rules.iter().find(|r| r.name == *name && joins(r, line));
            let no_conflict = |c: &Conflict| !find(&c.rule, &c.line).is_some_and(|r| r.two_way);
            let over: Vec<Key> =
                s.conflicts.iter().filter(|(_, c)| no_conflict(c)).map(|(k, _)| k.clone()).collect();
            let no_review =
                |r: &Review| !find(&r.rule, &r.line).is_some_and(|rule| rule.deletes == Deletes::Review);
            let done: Vec<_> =
                s.reviews.iter().filter(|(_, r)| no_review(r)).map(|(k, _)| k.clone()).collect();
            s.conflicts.retain(|k, _| !over.contains(k));
            s.reviews.retain(|k, _| !done.contains(k));
            let reviewed = done.into_iter().map(|(rule, target)| Note::Reviewed(rule, target));
            over.iter().map(settled).chain(reviewed).chain(self.debts.keep(rules)).collect()
        })
    }
}

impl State {
    /// Keeps a review; one of nothing is none.
    fn put(&mut self, at: (RuleName, RegistryName), review: Review) -> Option<Note> {
        let is_empty = review.plan.items.is_empty() && review.plan.held.is_empty() && review.going.is_empty();
        if is_empty {
            return self.reviews.remove(&at).map(|_| Note::Reviewed(at.0, at.1));
        }
        let note = Note::Review(Box::new(review.clone()));
        self.reviews.insert(at, review);
        Some(note)
    }
}
