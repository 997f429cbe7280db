//! Why a container is placed where it is, or nowhere: every host's verdict, and one sentence.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::HostId;
use crate::model::explain::{Explanation, Filter, Score, Scorer, Verdict};
use crate::model::placement::Strategy;
use crate::model::pool::Pool;
use crate::plan::place::batch::{Batch, wish};
use crate::plan::place::books::{Books, Shape};
use crate::plan::place::pick::siblings;
use crate::plan::place::terms::Terms;
use crate::plan::place::{Ask, Room, refuse, score};

impl Room {
    /// What every host says to one container, and where it would go now. Nothing is counted anew.
    pub fn explain(&mut self, ask: &Ask<'_>) -> Explanation {
        let (pool, _) = self.pool(ask.pool);
        let key = (pool, ask.slot);
        let before = self.books.entries.get(&key).cloned();
        let now_on = before.as_ref().map(|e| self.books.node(e.host).id.clone());
        self.set(key, None);
        let choice = self.pick(ask, pool);
        let mut hosts = Vec::new();
        if let Some(batch) = &self.batch {
            hosts = verdicts(&self.books, batch, ask, choice.as_ref().ok());
        }
        self.set(key, before);
        let sentence = sentence(ask, &choice, now_on.as_ref(), &hosts);
        let slot = (now_on.is_some() || ask.pool.wants(ask.slot)).then_some(ask.slot);
        let (pool, choice) = (ask.pool.id.clone(), choice.ok());
        Explanation { pool, slot, strategy: ask.strategy, now_on, choice, sentence, hosts }
    }

    /// Which of these hosts break a pool's constraints, its sites or its platform, and how, in words that follow their names.
    /// Those that have not said yet who they are break none.
    pub fn broken_rules<'h>(
        &self,
        pool: &Pool,
        hosts: impl IntoIterator<Item = &'h HostId>,
    ) -> BTreeMap<&'h HostId, String> {
        let ask = Ask::new(pool, 0);
        let own;
        let terms = match &self.batch {
            Some(batch) if self.is_for(batch, &ask) => &batch.terms,
            _ => {
                own = Terms::new(&self.books, &ask, Arc::new(Shape::of(pool)));
                &own
            }
        };
        let broken = |host: &HostId| {
            let ix = *self.books.known.get(host)?;
            let view = self.books.node(ix).view.as_ref().filter(|v| !v.facts.engine_id.raw().is_empty())?;
            let mut why = refuse::reasons(&self.books, terms, &ask, ix, false);
            why.retain(|w| matches!(w.filter(), Filter::Site | Filter::Platform | Filter::Constraint));
            let why: Vec<String> = why.iter().map(|w| w.of_one(&self.books, terms, &ask, view)).collect();
            (!why.is_empty()).then(|| why.join("; "))
        };
        hosts.into_iter().filter_map(|host| Some((host, broken(host)?))).collect()
    }
}

fn verdicts(books: &Books, batch: &Batch, ask: &Ask<'_>, choice: Option<&HostId>) -> Vec<Verdict> {
    let siblings = siblings(batch);
    let (mut able, mut refused) = (Vec::new(), Vec::new());
    for (id, ix) in &books.known {
        let Some(view) = &books.node(*ix).view else { continue };
        let why = refuse::reasons(books, &batch.terms, ask, *ix, false);
        if why.is_empty() {
            let scores = scores(books, batch, ask, *ix, &siblings);
            let total = scores.iter().map(|s| s.value).sum::<f64>() / scores.len().max(1) as f64;
            // Of many equal hosts only some are scored for a choice: the chosen one is the best of these.
            let order = (choice != Some(id), batch.standing(books, ask, *ix));
            able.push((order, Verdict { host: id.clone(), refused: Vec::new(), scores, total }));
        } else {
            let refuse = |w: &refuse::Why| w.refused(books, &batch.terms, ask, view);
            let why = why.iter().map(refuse).collect();
            refused.push(Verdict { host: id.clone(), refused: why, scores: Vec::new(), total: 0.0 });
        }
    }
    able.sort_by(|a, b| a.0.cmp(&b.0));
    able.into_iter().map(|(_, verdict)| verdict).chain(refused).collect()
}

fn scores(books: &Books, batch: &Batch, ask: &Ask<'_>, ix: u32, siblings: &[(u32, u32)]) -> Vec<Score> {
    let (node, terms) = (books.node(ix), &batch.terms);
    let Some(view) = &node.view else { return Vec::new() };
    let mut out = Vec::new();
    let mut add = |scorer, value: f64| out.push(Score { scorer, value: value.clamp(-1.0, 1.0) });
    if ask.strategy == Strategy::Random {
        add(Scorer::Strategy, 1.0 - batch.distance(books, ask, ix));
    } else {
        let after = score::after(&node.cap, &terms.shape.need);
        add(Scorer::Strategy, batch.by_strategy(node, after));
        if terms.by_host {
            let there = f64::from(books.of_pool(terms.pool, ix) + 1);
            // Nomad's job anti-affinity: one more than what is there, by what is wanted.
            add(Scorer::FewOfPool, -there / f64::from(ask.pool.want.max(1)));
        }
        let path = &batch.layout.paths[batch.members[node.class as usize].branch];
        if !path.is_empty() {
            let even = |at: &usize| score::even(batch.counts[*at], siblings[*at].0, siblings[*at].1);
            add(Scorer::EvenSpread, path.iter().map(even).sum::<f64>() / path.len() as f64);
        }
        if let Some(wish) = wish(terms, view) {
            add(Scorer::Preference, wish);
        }
        if batch.image {
            add(Scorer::ImageThere, f64::from(u8::from(batch.has_image(node))));
        }
        let strength = score::strength(&view.facts, &view.record, &batch.strongest);
        if strength.is_some() {
            add(Scorer::ClassFit, score::class_fit(terms.core, strength));
        }
    }
    if ask.avoid == Some(&node.id) {
        add(Scorer::JustFailed, -1.0);
    }
    out
}

fn sentence(
    ask: &Ask<'_>,
    choice: &Result<HostId, String>,
    now_on: Option<&HostId>,
    hosts: &[Verdict],
) -> String {
    let host = match choice {
        Ok(host) => host,
        Err(why) => {
            return match now_on {
                Some(now) => format!("it is on {now}; placed anew, {why}"),
                None => why.clone(),
            };
        }
    };
    let able = hosts.iter().filter(|h| h.refused.is_empty()).count();
    let by = match ask.strategy {
        _ if able == 1 => "the only one".to_owned(),
        Strategy::Spread => format!(
            "of {able} that can take it, first by the fewest of the pool (in domains asked for, on the host, in its site), then by score"
        ),
        Strategy::Binpack => format!("of {able} that can take it the fullest by score"),
        Strategy::Random => format!("by chance of {able} that can take it"),
    };
    match now_on {
        Some(now) if now == host => format!("it is on {now}, and would go there again: {by}"),
        Some(now) => format!("it is on {now}; placed anew it would go to {host}, {by}"),
        None => format!("it goes to {host}, {by}"),
    }
}
