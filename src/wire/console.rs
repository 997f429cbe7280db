//! The console's surroundings: a session behind it, its options from the command line, the configuration and the environment.

use tokio::signal::unix::{SignalKind, signal};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::cli::{Color, ConsoleOptions};
use crate::engine::handle::Handle;
use crate::engine::lock;
use crate::engine::session::{self, Setup};
use crate::model::world::{EngineView, Mode};
use crate::tui::run::{End, Options};
use crate::wire::config::Config;
use crate::wire::env;

/// Opens a session and the console on it, until it is left.
pub async fn run(setup: Setup, options: &ConsoleOptions, config: &Config) -> Outcome<()> {
    let clock = setup.clock.clone();
    let read_only = setup.read_only;
    let session = session::open(setup).await?;
    let no_color = match options.color {
        Color::Never => true,
        Color::Always => false,
        Color::Auto => env("NO_COLOR").is_some_and(|v| !v.is_empty()),
    };
    let console = Options {
        read_only,
        theme: options.theme.clone().or_else(|| config.theme.clone()),
        no_color,
        ascii: false,
        environment: options.environment.clone().or_else(|| config.environment.clone()).unwrap_or_default(),
        user: lock::me().user,
        pause_ms: None,
        clock,
    };
    let ended = crate::tui::run::run(session.handle.clone(), console).await;
    session.close().await;
    match ended? {
        End::Quit => Ok(()),
        End::Signal(number) => Err(Fault::new(Kind::Refused, format!("ended by signal {number}"))),
        End::Hangup => Err(Fault::new(Kind::Unreachable, "the terminal is gone")),
    }
}

/// Says what the headless engine is doing whenever that changes, until a signal ends it.
pub async fn headless(handle: &Handle, say: &mut (dyn FnMut(&str) + Send)) -> Outcome<()> {
    let system =
        |e: std::io::Error| Fault::new(Kind::Exhausted, format!("signals cannot be waited for: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system)?;
    let mut world = handle.world();
    let mut said = String::new();
    loop {
        let now = standing(&world.borrow_and_update().engine);
        if now != said {
            say(&now);
            said = now;
        }
        let ended = tokio::select! {
            _ = term.recv() => "TERM",
            _ = interrupt.recv() => "INT",
            _ = hangup.recv() => "HUP",
            Ok(()) = world.changed() => continue,
        };
        say(&format!(
            "engine ended by {ended}: containers run on, nobody repairs them until an engine runs again"
        ));
        return Ok(());
    }
}

fn standing(engine: &EngineView) -> String {
    if let Some(trouble) = &engine.trouble {
        return format!("engine in trouble: {trouble}");
    }
    match engine.mode {
        Mode::Starting => "engine starting".to_owned(),
        Mode::ObserveOnly => "engine observes only".to_owned(),
        Mode::Active if engine.attached => format!(
            "standing by: the engine of {} (pid {}) is at work; this one takes over when that one ends",
            engine.user, engine.pid
        ),
        Mode::Active => {
            format!("engine active (pid {}, epoch {}); end it with TERM", engine.pid, engine.epoch)
        }
    }
}
