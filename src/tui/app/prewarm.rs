//! Prewarms from the console: what one would take, the question, and another try where one has failed.

use crate::base::ids::{HostId, OpId, PoolId};
use crate::base::text::{count, safe};
use crate::model::command::Command;
use crate::model::coverage::{Coverage, Holds};
use crate::model::operation::{OpKind, OpStatus};
use crate::model::prewarm::{PrewarmAsk, WarmState};
use crate::model::query::{Query, Request};
use crate::tui::app::dialog::{Dialog, Then};
use crate::tui::app::{App, Mode, Pending};
use crate::tui::effect::Effect;
use crate::tui::verbs::Act;
use crate::view::coverage::{left_out, sentences};

impl App {
    /// Does what a verb of prewarms says.
    pub(crate) fn prewarm_act(&mut self, act: Act) -> Vec<Effect> {
        match act {
            Act::Prewarm => self.ask_coverage(),
            Act::ImageFirst => self.image_first(),
            _ => self.retry_prewarm(),
        }
    }

    /// True for the operation of a prewarm.
    pub(crate) fn is_prewarm(&self, op: OpId) -> bool {
        let found = self.world.operations.iter().find(|o| o.id == op);
        found.is_some_and(|o| matches!(o.kind, OpKind::Prewarm(_)))
    }

    /// What becomes of an operation that is under way when it is cancelled; `None` for one that is changed in another way.
    pub(crate) fn when_cancelled(&self, op: OpId) -> Option<&'static str> {
        match &self.world.operations.iter().find(|o| o.id == op)?.kind {
            OpKind::Prewarm(_) => Some("what is on its way breaks off, what has arrived stays"),
            OpKind::Restart => Some("what was renewed stays, and so do the containers that were not"),
            OpKind::Rebalance { .. } => Some("moves that have begun come to their end"),
            _ => None,
        }
    }

    /// The prewarm under the cursor that has failed: what it was, and the hosts where it did.
    pub(crate) fn failed_prewarm(&self) -> Option<PrewarmAsk> {
        let id = self.operations.current()?.id;
        let op = self.world.operations.iter().find(|o| o.id == id)?;
        let OpKind::Prewarm(wanted) = &op.kind else { return None };
        if !matches!(op.status, OpStatus::Failed { .. }) {
            return None;
        }
        // Where it is not known any more which hosts failed, all are tried: those that have it are only proved.
        let failed = |view: &crate::model::prewarm::PrewarmView| -> Vec<HostId> {
            let hosts = view.hosts.iter().filter(|(_, h)| matches!(h.state, WarmState::Failed(_)));
            hosts.map(|(id, _)| id.clone()).collect()
        };
        let hosts = self.world.prewarms.get(&id).map(|v| failed(v)).filter(|h| !h.is_empty());
        Some(PrewarmAsk {
            image: Some(wanted.image.clone()),
            hosts: hosts.unwrap_or_else(|| wanted.hosts.clone()),
            limit: Some(wanted.limit),
            rate: wanted.rate,
            size: wanted.size,
            from_peers: wanted.from_peers,
            ..PrewarmAsk::default()
        })
    }

    /// Begins it once more on those hosts.
    pub(crate) fn retry_prewarm(&mut self) -> Vec<Effect> {
        let Some(ask) = self.failed_prewarm() else { return Vec::new() };
        let image = safe(ask.image.as_deref().unwrap_or_default()).into_owned();
        self.say(format!("sending: prewarm {image} on {} once more", count(ask.hosts.len() as u64, "host")));
        self.command(Command::Prewarm(Box::new(ask)))
    }

    /// Asks how far the pool's image is.
    pub(crate) fn ask_coverage(&mut self) -> Vec<Effect> {
        let Some((pool, ..)) = self.chosen() else { return Vec::new() };
        self.say(format!("asking which hosts have the image of {pool}"));
        let ask = PrewarmAsk { pool: Some(pool.clone()), ..PrewarmAsk::default() };
        vec![self.ask(Request::Query(Query::Coverage(Box::new(ask))), Pending::Coverage(pool)).1]
    }

    /// Says how far the image is, and asks whether to bring it where it is missing.
    pub(crate) fn covered(&mut self, pool: &PoolId, found: &Coverage) {
        let lack = found.lack() + found.count(Holds::Unknown);
        if lack == 0 {
            let hosts = count(found.hosts.len() as u64, "host");
            return self.say(format!("{pool}: its image is on all of its {hosts}: nothing to bring"));
        }
        // Something else was opened while the answer was awaited: nothing takes its place.
        if !matches!(self.mode, Mode::Normal) {
            return self.say(format!("{pool}: {} lack its image; p asks again", count(lack.into(), "host")));
        }
        let mut body = vec![safe(&found.image).into_owned()];
        body.extend(sentences(found));
        body.extend(left_out(found));
        body.push(format!("The same: longshore prewarm {pool}"));
        let ask = PrewarmAsk { pool: Some(pool.clone()), ..PrewarmAsk::default() };
        let place = match self.settings.environment.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        };
        let label = format!("Prewarm {}{place}", count(lack.into(), "host"));
        let buttons = vec![(label, Then::Do(Box::new(Command::Prewarm(Box::new(ask)))))];
        self.mode = Mode::Dialog(Dialog::ask(format!("Prewarm {pool}?"), body, buttons, self.now));
    }

    /// Brings the pool's image first, over all lines that need it.
    pub(crate) fn image_first(&mut self) -> Vec<Effect> {
        let Some((pool, ..)) = self.chosen() else { return Vec::new() };
        let Some(image) = self.world.pool(&pool).map(|v| v.pool.spec.image.clone()) else {
            return Vec::new();
        };
        self.say(format!("sending: bring {} first", safe(&image)));
        self.command(Command::Prioritise { image, line: None })
    }
}
