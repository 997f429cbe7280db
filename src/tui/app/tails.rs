//! Open logs: the one of the home screen follows the cursor, but only once it rests.

use crate::base::clock::Millis;
use crate::base::ids::PoolId;
use crate::model::logs::{LogChunk, LogRequest, LogTarget};
use crate::tui::app::{App, View};
use crate::tui::effect::Effect;
use crate::tui::event::TailId;
use crate::tui::logbuf::{HOME_BYTES, LogBuf};
use crate::tui::panes::PaneId;
use crate::tui::panes::logs::LogView;

/// The cursor must rest so long on a pool before its log is opened: moving through a list costs the hosts nothing.
pub const REST_MS: u64 = 300;
/// Newest lines of each container that the home screen asks for.
const HOME_LINES: u32 = 20;
/// Newest lines of each container that the view on the whole screen asks for.
const FULL_LINES: u32 = 500;

/// The log of the home screen.
#[derive(Debug)]
pub struct HomeTail {
    /// The pool that it belongs to.
    pub pool: Option<PoolId>,
    /// The lines.
    pub buf: LogBuf,
    open: Option<TailId>,
    since: Millis,
}

impl Default for HomeTail {
    fn default() -> Self {
        HomeTail { pool: None, buf: LogBuf::new(HOME_BYTES), open: None, since: Millis::default() }
    }
}

impl HomeTail {
    /// The cursor rests on a pool whose log is not open yet.
    pub fn is_resting(&self) -> bool {
        self.pool.is_some() && self.open.is_none()
    }
}

impl App {
    /// Opens and closes the log of the home screen, as the cursor and the views demand.
    pub(crate) fn sync_tail(&mut self) -> Vec<Effect> {
        let visible = self.views.is_empty() && (self.is_wide() || self.focus == PaneId::Logs);
        let wanted = if visible { self.pool().cloned() } else { None };
        let mut effects = Vec::new();
        if wanted != self.tail.pool {
            effects.extend(self.tail.open.take().map(Effect::CloseTail));
            self.tail = HomeTail { pool: wanted, since: self.now, ..HomeTail::default() };
        }
        if self.tail.is_resting()
            && self.now.since(self.tail.since) >= REST_MS
            && let Some(pool) = self.tail.pool.clone()
        {
            let id = self.new_tail();
            self.tail.open = Some(id);
            effects.push(Effect::OpenTail(id, request(LogTarget::Pool(pool), None, Some(HOME_LINES))));
        }
        effects
    }

    fn new_tail(&mut self) -> TailId {
        self.next += 1;
        TailId(self.next)
    }

    /// Opens a log on the whole screen.
    pub(crate) fn open_logs(&mut self, target: LogTarget, name: String) -> Vec<Effect> {
        let id = self.new_tail();
        let asked = request(target.clone(), None, Some(FULL_LINES));
        self.views.push(View::Logs(Box::new(LogView::new(target, name, id))));
        vec![Effect::OpenTail(id, asked)]
    }

    /// Opens the log on top again, from so many minutes ago on.
    pub(crate) fn since(&mut self, minutes: u32) -> Vec<Effect> {
        let id = self.new_tail();
        let now = self.now;
        let Some(View::Logs(view)) = self.views.last_mut() else { return Vec::new() };
        let closed = view.tail;
        let mut fresh = LogView::new(view.target.clone(), view.name.clone(), id);
        (fresh.stamps, fresh.wrap, fresh.json, fresh.since) = (view.stamps, view.wrap, view.json, minutes);
        fresh.search.clone_from(&view.search);
        let from = Millis(now.0.saturating_sub(i64::from(minutes) * 60_000));
        let asked = match minutes {
            0 => request(view.target.clone(), None, Some(FULL_LINES)),
            _ => request(view.target.clone(), Some(from), None),
        };
        **view = fresh;
        vec![Effect::CloseTail(closed), Effect::OpenTail(id, asked)]
    }

    /// Takes what a tail brought.
    pub(crate) fn tailed(&mut self, id: TailId, chunk: LogChunk) -> Vec<Effect> {
        let now = self.now;
        if self.tail.open == Some(id) {
            self.tail.buf.take(chunk, now);
            return Vec::new();
        }
        for view in &mut self.views {
            if let View::Logs(view) = view
                && view.tail == id
            {
                view.buf.take(chunk, now);
                return Vec::new();
            }
        }
        Vec::new()
    }

    /// Takes the top view away; an open log is closed.
    pub(crate) fn pop(&mut self) -> Vec<Effect> {
        match self.views.pop() {
            Some(View::Logs(view)) => vec![Effect::CloseTail(view.tail)],
            _ => Vec::new(),
        }
    }
}

fn request(target: LogTarget, since: Option<Millis>, tail: Option<u32>) -> LogRequest {
    let follow = !matches!(target, LogTarget::Previous(..));
    LogRequest { target, since, tail, follow }
}
