//! A staged number: chosen with + and -, previewed, sent once after a pause or with Enter, dropped with Esc.

use crate::base::clock::Millis;
use crate::base::ids::{OpId, PoolId};
use crate::model::command::{Busy, Change, Command, Refusal, RefusalKind};
use crate::model::placement::Strategy;
use crate::model::pool::REPLICAS_MAX;
use crate::model::preview::Preview;
use crate::model::query::{Query, Request};
use crate::tui::app::dialog::Dialog;
use crate::tui::app::{App, Mode, Pending};
use crate::tui::effect::Effect;
use crate::tui::event::Ticket;
use crate::view::ops;

/// A number that was chosen and has not been sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    /// The pool.
    pub pool: PoolId,
    /// The number before.
    pub from: u32,
    /// The number after.
    pub to: u32,
    /// The pool's version when it was staged.
    pub expect: u64,
    /// When it was last changed: the pause counts from here.
    pub at: Millis,
    /// It takes back this scale.
    pub undo: Option<OpId>,
    /// The question that is open: one at a time, the newest number is asked for when it is answered.
    pub asked: Option<Ticket>,
    /// The strategy that was chosen for what it adds; `None` leaves it to the pool.
    pub strategy: Option<Strategy>,
    /// The strategy that the open question is about.
    pub asked_by: Option<Strategy>,
    /// What it would do.
    pub preview: Option<Preview>,
    /// The preview cannot be had.
    pub blind: Option<String>,
}

impl Staged {
    /// Milliseconds until it is sent by itself; `None` while it waits for a person.
    pub fn due_in(&self, now: Millis, pause_ms: u64) -> Option<u64> {
        let fine = self.preview.as_ref().is_some_and(|p| p.unplaced == 0 && allows(p.refusal.as_ref()));
        let ready = fine || self.blind.is_some();
        ready.then(|| pause_ms.saturating_sub(now.since(self.at)))
    }

    /// The command line that does the same.
    pub fn command(&self) -> String {
        let by = self.strategy.map(|s| format!(" --strategy {s}")).unwrap_or_default();
        format!("{}{by}", ops::scale_command(&self.pool, self.to, None))
    }
}

/// Nothing stands in the way but a name that will be asked for.
fn allows(refusal: Option<&Refusal>) -> bool {
    refusal.is_none_or(|r| matches!(r.why, RefusalKind::NeedsName(_)))
}

/// A scale as it will be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The pool.
    pub pool: PoolId,
    /// The number before.
    pub from: u32,
    /// The number after.
    pub to: u32,
    /// The pool's version that it is bound to.
    pub expect: u64,
    /// What to do with another operation on the pool.
    pub busy: Busy,
    /// The name typed.
    pub confirm: Option<String>,
    /// The strategy that was chosen for what it adds.
    pub strategy: Option<Strategy>,
}

impl App {
    /// Stages `by` more for the pool under the cursor.
    pub(crate) fn stage_by(&mut self, by: i64) -> Vec<Effect> {
        let Some((pool, want, _)) = self.chosen() else { return Vec::new() };
        let base = match &self.staged {
            Some(s) if s.pool == pool => s.to,
            _ => want,
        };
        let to = (i64::from(base) + by).clamp(0, i64::from(REPLICAS_MAX));
        self.stage_to(u32::try_from(to).unwrap_or(0), None)
    }

    /// Stages a number for the pool under the cursor.
    pub(crate) fn stage_to(&mut self, to: u32, undo: Option<OpId>) -> Vec<Effect> {
        let Some((pool, want, version)) = self.chosen() else { return Vec::new() };
        let (from, expect) = match &self.staged {
            Some(s) if s.pool == pool => (s.from, s.expect),
            _ => (want, version),
        };
        if to == from {
            self.staged = None;
            self.say(format!("{pool} stays at {from}: nothing to send"));
            return Vec::new();
        }
        let before = self.staged.take().filter(|s| s.pool == pool);
        let (asked, asked_by, strategy) =
            before.map_or((None, None, None), |s| (s.asked, s.asked_by, s.strategy));
        let (at, preview, blind) = (self.now, None, None);
        self.staged =
            Some(Staged { pool, from, to, expect, at, undo, asked, strategy, asked_by, preview, blind });
        self.ask_preview()
    }

    /// Asks what the staged number would do, unless a question is open already.
    fn ask_preview(&mut self) -> Vec<Effect> {
        let Some(Staged { pool, to, strategy, .. }) = self.staged.as_ref().filter(|s| s.asked.is_none())
        else {
            return Vec::new();
        };
        let (pool, change, strategy) = (pool.clone(), Change::To(*to), *strategy);
        let query = Query::Preview { pool, change, confirm: None, strategy };
        let (ticket, effect) = self.ask(Request::Query(query), Pending::Preview);
        if let Some(staged) = &mut self.staged {
            (staged.asked, staged.asked_by) = (Some(ticket), strategy);
        }
        vec![effect]
    }

    /// Another strategy for what the staged number adds.
    pub(crate) fn next_strategy(&mut self) -> Vec<Effect> {
        let own =
            self.chosen().and_then(|(id, ..)| self.world.pool(&id)).map(|v| v.pool.spec.placement.strategy);
        let Some(staged) = &mut self.staged else { return Vec::new() };
        if staged.to < staged.from || staged.undo.is_some() {
            self.say("a strategy counts only for containers that are added");
            return Vec::new();
        }
        let next = match staged.strategy.or(own).unwrap_or(Strategy::Spread) {
            Strategy::Spread => Strategy::Binpack,
            Strategy::Binpack => Strategy::Random,
            Strategy::Random => Strategy::Spread,
        };
        (staged.strategy, staged.preview, staged.blind, staged.at) = (Some(next), None, None, self.now);
        self.ask_preview()
    }

    /// The managed pool under the cursor: id, number wanted, version.
    pub(crate) fn chosen(&self) -> Option<(PoolId, u32, u64)> {
        let id = self.pool()?.clone();
        let view = self.world.pool(&id)?;
        Some((id, view.pool.target(), view.pool.version))
    }

    /// Takes the answer to a preview, if it still fits what is staged.
    pub(crate) fn previewed(&mut self, ticket: Ticket, answer: Result<Preview, String>) -> Vec<Effect> {
        let Some(staged) = self.staged.as_mut().filter(|s| s.asked == Some(ticket)) else {
            return Vec::new();
        };
        staged.asked = None;
        if staged.asked_by != staged.strategy {
            return self.ask_preview();
        }
        match answer {
            Ok(p) if p.pool == staged.pool && p.to == staged.to && p.version == staged.expect => {
                staged.preview = Some(p);
            }
            // Of another version: the snapshot that tells of it is on its way and drops what is staged.
            Ok(p) if p.to == staged.to => {}
            Ok(_) => return self.ask_preview(),
            Err(why) => staged.blind = Some(why),
        }
        Vec::new()
    }

    /// Drops what is staged when its pool changed meanwhile or the cursor left it: nothing is ever sent to a surprise.
    pub(crate) fn check_staged(&mut self) {
        let Some(staged) = &self.staged else { return };
        let (pool, from, to) = (staged.pool.clone(), staged.from, staged.to);
        let Some(view) = self.world.pool(&pool) else {
            self.staged = None;
            self.warn(format!("{pool} is gone: {from}→{to} was not sent"), None);
            return;
        };
        if view.pool.version != staged.expect {
            let want = view.pool.target();
            let by = view.pool.last_scale.as_ref().map_or("somebody", |l| l.by.as_str());
            let by = crate::base::text::safe(by).into_owned();
            self.staged = None;
            let text = format!("{by} changed {pool} meanwhile (now {want}): {from}→{to} was not sent");
            self.warn(text, Some("look at it again, then choose anew".to_owned()));
        }
    }

    /// Why what is shown of a pool may be old: then a pause sends nothing, a person has to say so.
    pub(crate) fn stale(&self, pool: &PoolId) -> Option<String> {
        if let Some(trouble) = &self.world.engine.trouble {
            return Some(crate::base::text::safe(trouble).into_owned());
        }
        let lost = self.world.pool(pool).map_or(0, |view| view.counts.lost);
        (lost > 0).then(|| {
            let count = crate::base::text::count(u64::from(lost), "container");
            format!("{count} of it on hosts that do not answer: the view is old")
        })
    }

    /// Milliseconds until what is staged is sent by itself; `None` while it waits for a person.
    pub(crate) fn staged_in(&self, staged: &Staged) -> Option<u64> {
        if self.stale(&staged.pool).is_some() {
            return None;
        }
        staged.due_in(self.now, self.settings.pause_ms)
    }

    /// Sends what is staged when its pause is over.
    pub(crate) fn staged_due(&mut self) -> Vec<Effect> {
        let due = self.staged.as_ref().and_then(|s| self.staged_in(s));
        if due == Some(0) && matches!(self.mode, Mode::Normal) { self.send_staged() } else { Vec::new() }
    }

    /// Sends what is staged, or asks for the pool's name first.
    pub(crate) fn send_staged(&mut self) -> Vec<Effect> {
        let Some(staged) = self.staged.take() else { return Vec::new() };
        if staged.undo.is_some() {
            let pending = Pending::Undo(staged.pool.clone());
            self.say(format!("sending: {} back to {}", staged.pool, staged.to));
            return vec![
                self.ask(Request::Command(Command::Undo { pool: staged.pool, op: staged.undo }), pending).1,
            ];
        }
        let refusal = staged.preview.as_ref().and_then(|p| p.refusal.clone());
        let protect = self.world.pool(&staged.pool).is_some_and(|v| v.pool.spec.protect);
        let name = match refusal.map(|r| r.why) {
            Some(RefusalKind::NeedsName(name)) => Some(name),
            // The engine has said what it would do and asks for no name: only where it has not, the console is careful.
            _ if staged.preview.is_none() && (staged.to == 0 || protect) => Some(staged.pool.to_string()),
            _ => None,
        };
        let Staged { pool, from, to, expect, strategy, .. } = staged;
        let scale = Scale { pool, from, to, expect, busy: Busy::Refuse, confirm: None, strategy };
        match name {
            Some(name) => {
                self.mode = Mode::Dialog(Dialog::name(scale, name, &self.settings.environment, self.now));
                Vec::new()
            }
            None => self.send(scale),
        }
    }

    /// Sends a scale: the number and nothing else.
    pub(crate) fn send(&mut self, scale: Scale) -> Vec<Effect> {
        self.say(format!("sending: {} {}→{}", scale.pool, scale.from, scale.to));
        let command = Command::SetReplicas {
            pool: scale.pool.clone(),
            change: Change::To(scale.to),
            expect: Some(scale.expect),
            busy: scale.busy,
            confirm: scale.confirm.clone(),
            strategy: scale.strategy,
        };
        vec![self.ask(Request::Command(command), Pending::Scale(scale)).1]
    }

    /// Stages the number before the last scale.
    pub(crate) fn undo(&mut self) -> Vec<Effect> {
        let Some((pool, want, _)) = self.chosen() else { return Vec::new() };
        let last = self.world.pool(&pool).and_then(|v| v.pool.last_scale.clone());
        match last {
            None => self.warn(format!("nothing to undo: nobody has scaled {pool}"), None),
            Some(last) if last.to != want => {
                self.warn(
                    format!("{pool} changed since its last scale: there is nothing simple to undo"),
                    None,
                );
            }
            Some(last) => {
                self.staged = None;
                return self.stage_to(last.from, Some(last.op));
            }
        }
        Vec::new()
    }
}
