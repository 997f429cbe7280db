//! The loop: terminal bytes, worlds, answers, logs and time go into the app; its effects go out. The only file of the
//! console that knows the engine and tokio.

mod outside;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::handle::Handle;
use crate::model::world::World;
use crate::tui::app::{App, PAUSE_MS, Settings};
use crate::tui::bytes::Input;
use crate::tui::draw;
use crate::tui::event::Event;
use crate::tui::screen::Screen;
use crate::tui::term::{self, Guard};
use crate::tui::theme::{self, Depth, Theme};

use outside::Outside;

/// At most 30 frames a second for what the world does; keys are drawn at once.
const FRAME: Duration = Duration::from_millis(33);
/// How long the last frame may take to leave before the terminal is given back all the same.
const LAST_FRAME: Duration = Duration::from_millis(300);

/// How the console shall be.
#[derive(Clone)]
pub struct Options {
    /// Nothing can be changed.
    pub read_only: bool,
    /// Name of a built-in theme or path of a theme file; judged by the terminal when absent.
    pub theme: Option<String>,
    /// No colours.
    pub no_color: bool,
    /// ASCII only; also chosen when the locale says so.
    pub ascii: bool,
    /// Name of the environment (`PROD`), empty for none.
    pub environment: String,
    /// Who sits here.
    pub user: String,
    /// A staged number is sent after this pause, in milliseconds; 800 when absent.
    pub pause_ms: Option<u64>,
    /// Where stamps come from.
    pub clock: SharedClock,
}

/// How the console ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The person quit.
    Quit,
    /// A signal: the exit status should be 128 and its number.
    Signal(i32),
    /// The terminal is gone: the exit status should be 129 (128 + HUP).
    Hangup,
}

struct Signals {
    resized: Signal,
    stopped: Signal,
    continued: Signal,
    ends: [(i32, Signal); 4],
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let end = |n: i32| Ok::<_, std::io::Error>((n, signal(SignalKind::from_raw(n))?));
        use nix::libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
        Ok(Signals {
            resized: signal(SignalKind::window_change())?,
            stopped: signal(SignalKind::from_raw(SIGTSTP))?,
            continued: signal(SignalKind::from_raw(SIGCONT))?,
            ends: [end(SIGHUP)?, end(SIGINT)?, end(SIGQUIT)?, end(SIGTERM)?],
        })
    }

    /// The number of the next signal that ends the console.
    async fn ended(ends: &mut [(i32, Signal); 4]) -> i32 {
        let [a, b, c, d] = ends;
        tokio::select! {
            _ = a.1.recv() => a.0,
            _ = b.1.recv() => b.0,
            _ = c.1.recv() => c.0,
            _ = d.1.recv() => d.0,
        }
    }
}

/// Runs the console until it is quit. The terminal is given back whole on every way out.
///
/// # Errors
/// When there is no terminal, or the theme cannot be read.
pub async fn run(handle: Handle, options: Options) -> Outcome<End> {
    let (settings, theme) = prepare(&options)?;
    let (input, output) = term::open()?;
    let system =
        |e: std::io::Error| Fault::new(Kind::Exhausted, e.to_string()).because("the console cannot start");
    let mut signals = Signals::new().map_err(system)?;
    let reader = reader::start(input).map_err(system)?;
    let guard = Guard::take()?;
    let screen = Screen::start(output).map_err(system)?;
    screen.raw(term::ENTER.as_bytes());
    let app = App::new(settings, theme, term::size());
    let outside = Outside::new(handle.clone(), screen.clone(), reader.switch.clone());
    let mut console =
        Console { app, outside, screen: screen.clone(), clock: options.clock.clone(), guard, ended: None };
    let first = handle.world().borrow().clone();
    console.event(Event::World(first)).await;
    let end = console.run(reader.inputs, handle.world(), &mut signals).await;
    let wait = async {
        while !screen.is_idle() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // A terminal that reads nothing must not hold the end up.
    let _late = tokio::time::timeout(LAST_FRAME, wait).await;
    screen.end();
    drop(console);
    Ok(end)
}

struct Console {
    app: App,
    outside: Outside,
    screen: Screen,
    clock: SharedClock,
    guard: Guard,
    ended: Option<End>,
}

impl Console {
    async fn run(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut world: watch::Receiver<Arc<World>>,
        signals: &mut Signals,
    ) -> End {
        let mut worlds = true;
        let (mut drawn, mut dirty) = (Instant::now(), true);
        let mut tick_at = Instant::now();
        self.draw();
        loop {
            if let Some(end) = self.ended {
                return end;
            }
            let mut at_once = false;
            let draw_at = drawn + FRAME;
            tokio::select! {
                biased;
                input = inputs.recv() => {
                    self.input(input.unwrap_or(Input::Hangup), &mut inputs, signals).await;
                    at_once = true;
                }
                n = Signals::ended(&mut signals.ends) => return End::Signal(n),
                _ = signals.resized.recv() => {
                    let (columns, rows) = term::size();
                    self.event(Event::Resize(columns, rows)).await;
                    dirty = true;
                }
                _ = signals.stopped.recv() => self.suspend(),
                _ = signals.continued.recv() => {
                    self.come_back();
                    dirty = true;
                }
                () = tokio::time::sleep_until(draw_at), if dirty => at_once = true,
                event = self.outside.next() => {
                    self.event(event).await;
                    dirty = true;
                }
                changed = world.changed(), if worlds => {
                    worlds = changed.is_ok();
                    let latest = world.borrow_and_update().clone();
                    let blind = self.app.totals.hosts_ok == 0;
                    self.event(Event::World(latest)).await;
                    dirty = true;
                    // The first sight of a host is what everybody waits for: no frame is too early for it.
                    at_once = blind && self.app.totals.hosts_ok > 0;
                }
                () = tokio::time::sleep_until(tick_at) => {
                    if !term::is_taken() {
                        self.come_back();
                    }
                    self.event(Event::Tick(self.clock.now())).await;
                    tick_at = Instant::now() + Duration::from_millis(self.app.tick_in());
                    dirty = true;
                }
            }
            tick_at = tick_at.min(Instant::now() + Duration::from_millis(self.app.tick_in()));
            if at_once {
                self.draw();
                (drawn, dirty) = (Instant::now(), false);
            }
        }
    }

    /// Takes one input and those that wait behind it, so that a burst is drawn once.
    async fn input(&mut self, first: Input, inputs: &mut mpsc::Receiver<Input>, signals: &mut Signals) {
        let mut next = Some(first);
        while let Some(input) = next {
            match input {
                Input::Key(key) => self.event(Event::Key(key)).await,
                Input::Paste(text) => self.event(Event::Paste(text)).await,
                Input::Wheel(by) => self.event(Event::Scroll(by)).await,
                Input::Synchronized(yes) => self.screen.synchronized(yes),
                Input::Raw(_) => {}
                Input::Hangup => self.ended = Some(End::Hangup),
            }
            if let Some((host, container)) = self.outside.shell.take() {
                let told =
                    outside::shell(&mut self.outside, host, container, inputs, &mut signals.resized).await;
                self.come_back();
                let (columns, rows) = term::size();
                self.event(Event::Resize(columns, rows)).await;
                self.event(Event::Told(told)).await;
            }
            if std::mem::take(&mut self.outside.suspend) {
                self.suspend();
            }
            if self.ended.is_some() {
                return;
            }
            next = inputs.try_recv().ok();
        }
    }

    async fn event(&mut self, event: Event) {
        let now = self.clock.now();
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.app.update(now, event) {
                match self.outside.act(effect) {
                    outside::Next::Go => {}
                    outside::Next::Tell(event) => events.push(event),
                    outside::Next::Quit => self.ended = Some(End::Quit),
                }
            }
        }
        tokio::task::yield_now().await;
    }

    fn draw(&self) {
        let (columns, rows) = self.app.size;
        let mut buf = Buffer::empty(Rect::new(0, 0, columns, rows));
        draw::draw(&self.app, &mut buf);
        self.screen.show(buf);
    }

    /// Gives the terminal back, stops the process, and takes the terminal again when it goes on.
    fn suspend(&mut self) {
        term::give_back();
        // Fails only for a signal that does not exist.
        let _sent = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
        self.come_back();
    }

    fn come_back(&mut self) {
        if self.guard.again().is_err() {
            self.ended = Some(End::Hangup);
        }
        self.screen.forget();
        self.screen.raw(term::ENTER.as_bytes());
        if self.app.mouse {
            self.screen.raw(term::MOUSE_ON.as_bytes());
        }
        self.draw();
    }
}

/// Settings and theme, from the options and the environment.
fn prepare(options: &Options) -> Outcome<(Settings, Theme)> {
    let env = |name: &str| std::env::var(name).unwrap_or_else(|_| String::new());
    let no_color = options.no_color || !env("NO_COLOR").is_empty();
    let depth = Depth::detect(no_color, &env("TERM"), &env("COLORTERM"));
    let light = env("COLORFGBG").rsplit(';').next().is_some_and(|bg| matches!(bg, "7" | "15"));
    let theme = match options.theme.as_deref() {
        None => theme::built_in(if light { "light" } else { "dark" }, depth)?,
        Some(path) if path.contains(['/', '.']) => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                Fault::new(Kind::NotFound, e.to_string()).because(format!("theme file {path} cannot be read"))
            })?;
            theme::read(&text, depth)?
        }
        Some(name) => theme::built_in(name, depth)?,
    };
    let settings = Settings {
        read_only: options.read_only,
        ascii: options.ascii || !is_utf8(&[env("LC_ALL"), env("LC_CTYPE"), env("LANG")]),
        environment: options.environment.clone(),
        user: options.user.clone(),
        pause_ms: options.pause_ms.unwrap_or(PAUSE_MS),
        depth,
    };
    Ok((settings, theme))
}

/// The first of the locale's variables that is set decides; none set means that nobody configured anything.
fn is_utf8(locale: &[String]) -> bool {
    locale.iter().find(|v| !v.is_empty()).is_none_or(|v| {
        let v = v.to_ascii_lowercase();
        v.contains("utf-8") || v.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_ascii() {
        let locale = |all: &str, lang: &str| is_utf8(&[all.to_owned(), String::new(), lang.to_owned()]);
        assert!(locale("", "") && locale("", "zh_CN.UTF-8") && locale("C.utf8", "C"));
        assert!(!locale("C", "en_US.UTF-8") && !locale("", "POSIX"));
    }
}
