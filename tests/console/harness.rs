//! Drives the console without a terminal: events in, effects and screens out.

use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::model::logs::{LogChunk, LogLine};
use longshore::model::query::Request;
use longshore::model::world::World;
use longshore::tui::app::{App, Settings};
use longshore::tui::draw::draw;
use longshore::tui::effect::Effect;
use longshore::tui::event::{Event, TailId, Ticket};
use longshore::tui::keys::Key;
use longshore::tui::theme::{self, Depth};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::world::NOW;

pub struct Console {
    pub app: App,
    pub now: Millis,
    pub effects: Vec<Effect>,
}

impl Console {
    pub fn new(size: (u16, u16), world: World) -> Console {
        Console::with(
            size,
            world,
            Settings { user: "alice".into(), environment: "PROD".into(), ..Settings::default() },
        )
    }

    pub fn with(size: (u16, u16), world: World, settings: Settings) -> Console {
        let theme = theme::built_in("dark", Depth::True).unwrap();
        let mut console = Console { app: App::new(settings, theme, size), now: NOW, effects: Vec::new() };
        console.event(Event::World(Arc::new(world)));
        console
    }

    pub fn event(&mut self, event: Event) {
        let effects = self.app.update(self.now, event);
        self.effects.extend(effects);
    }

    pub fn key(&mut self, key: &str) {
        let key = Key::parse(key).unwrap_or_else(|| panic!("no key is called {key}"));
        self.event(Event::Key(key));
    }

    pub fn keys(&mut self, keys: &str) {
        keys.split_whitespace().for_each(|k| self.key(k));
    }

    pub fn text(&mut self, text: &str) {
        text.chars().for_each(|c| self.event(Event::Key(Key::char(c))));
    }

    /// Lets time pass, a tick each 100 ms.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now = self.now + 100;
            self.event(Event::Tick(self.now));
        }
    }

    /// Lets the cursor rest.
    pub fn rest(&mut self) {
        self.pass(400);
    }

    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Requests that are neither a look nor a preview.
    pub fn commands(&mut self) -> Vec<(Ticket, Request)> {
        use longshore::model::query::Query;
        let wanted = |e: Effect| match e {
            Effect::Ask(_, Request::Query(Query::Look { .. } | Query::Preview { .. })) => None,
            Effect::Ask(ticket, request) => Some((ticket, request)),
            _ => None,
        };
        self.take().into_iter().filter_map(wanted).collect()
    }

    /// A console that has only the effects of this one: to look at them twice.
    pub fn clone_effects(&self) -> Console {
        let mut other = Console::new((40, 10), World::default());
        other.effects = self.effects.clone();
        other
    }

    pub fn tail(&self) -> Option<TailId> {
        self.effects.iter().rev().find_map(|e| match e {
            Effect::OpenTail(id, _) => Some(*id),
            _ => None,
        })
    }

    /// Feeds some lines to the log that was opened last.
    pub fn logs(&mut self) {
        let Some(id) = self.tail() else { return };
        self.event(Event::Tail(id, LogChunk::Lanes(vec!["web.1".into(), "web.2".into(), "web.7".into()])));
        let texts = [
            "GET /feed 200 12ms",
            "GET /feed 503 2001ms",
            "WARN upstream is slow: cache.3",
            "ERROR gave up after 3 tries",
        ];
        let line = |i: u16| LogLine {
            at: Millis(NOW.0 + i64::from(i) * 9),
            lane: i % 3,
            stderr: false,
            text: texts[usize::from(i) % 4].into(),
        };
        self.event(Event::Tail(id, LogChunk::Lines((0..8).map(line).collect())));
        self.event(Event::Tail(id, LogChunk::Skipped(1204)));
        self.event(Event::Tail(id, LogChunk::Lines((8..14).map(line).collect())));
    }

    pub fn buffer(&self) -> Buffer {
        let (w, h) = self.app.size;
        let mut buf = Buffer::empty(Rect::new(0, 0, w, h));
        draw(&self.app, &mut buf);
        buf
    }

    pub fn screen(&self) -> String {
        let buf = self.buffer();
        let mut out = String::new();
        for y in 0..buf.area.height {
            let mut skip = 0;
            let mut line = String::new();
            for x in 0..buf.area.width {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buf[(x, y)].symbol();
                skip = longshore::base::text::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}
