//! The console's surroundings: a session behind it, its options from the command line, the configuration and the environment.

use tokio::signal::unix::{SignalKind, signal};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::cli::{Color, ConsoleOptions};
use crate::engine::lock;
use crate::engine::session::{self, Setup};
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

/// Waits for the signal that ends the headless engine.
pub async fn until_signal() -> Outcome<()> {
    let system =
        |e: std::io::Error| Fault::new(Kind::Exhausted, format!("signals cannot be waited for: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system)?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
