//! The command line: arguments in, the same words as the console out.

mod access;
mod act;
mod advice;
mod amount;
mod args;
mod check;
mod cx;
mod estimate;
mod exec;
mod harbor;
mod harbor_access;
mod hosts;
mod image;
mod images;
mod inspect;
pub mod io;
mod journal;
mod list;
mod login;
mod logs;
mod masters;
mod policy;
mod preview;
mod prewarm;
mod print;
mod rawtty;
mod rebalance;
mod registry;
mod replicate;
mod secret;
mod set;
mod show;
mod sites;
mod target;
mod up;
mod wait;
mod why;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches};
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::base::fault::{Fault, Outcome};
use crate::cli::args::{Cli, Verb};
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::io::Io;
use crate::cli::print::Printer;
use crate::engine::archive::Depot;
use crate::engine::handle::Handle;
use crate::model::access::command::AccessCommand;
use crate::model::access::view::AccessView;
use crate::model::host::HostConfig;
use crate::model::registry::Registry;

/// What the command line needs of the rest of the program. `wire.rs` implements it.
pub trait Backend: Send + Sync {
    /// Attaches to the running engine of the state directory, or starts one in this process.
    ///
    /// With [`Purpose::Look`] an engine of our own only observes: a listing never begins to mend anything.
    fn open(&self, session: Session, purpose: Purpose) -> BoxFuture<'_, Outcome<Opened>>;
    /// The full-screen console, until it is left.
    fn console(&self, options: ConsoleOptions) -> BoxFuture<'_, Outcome<()>>;
    /// The console on a practice fleet.
    fn demo(&self, options: ConsoleOptions, practice: Practice) -> BoxFuture<'_, Outcome<()>>;
    /// The engine without a screen, until a signal ends it. `say` gets a sentence whenever its standing changes.
    fn engine<'a>(
        &'a self,
        session: Session,
        say: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Outcome<()>>;
    /// Looks at everything that longshore needs to work.
    fn doctor(&self, session: Session) -> BoxFuture<'_, Vec<Check>>;
    /// The hash of a password, as it may be kept.
    fn hash(&self, password: String) -> BoxFuture<'_, Outcome<String>>;
    /// A new secret that nobody can guess, and its hash.
    fn draw(&self) -> BoxFuture<'_, Outcome<(String, String)>>;
    /// Asks a token service elsewhere for a change of who may do what; says what was done. A robot's secret is drawn there.
    fn change_access(
        &self,
        door: AccessDoor,
        command: AccessCommand,
    ) -> BoxFuture<'_, Outcome<AccessChanged>>;
    /// What a user may see of who may do what at a token service elsewhere.
    fn look_access(&self, door: AccessDoor) -> BoxFuture<'_, Outcome<AccessView>>;
    /// What a registry has to be told so that it asks our token service; `None` when none is configured.
    ///
    /// # Errors
    /// When the service has never been started, or its files cannot be read.
    fn registry_auth(&self, session: &Session) -> Outcome<Option<RegistryAuth>>;
    /// Checks a login at its registry, and keeps it where the Docker CLI keeps its own; says where.
    fn log_in(&self, registry: Registry, username: String, secret: String) -> BoxFuture<'_, Outcome<String>>;
    /// Forgets the login of a registry; says where it was, `None` when there was none.
    fn log_out(&self, registry: Registry) -> BoxFuture<'_, Outcome<Option<String>>>;
    /// The hosts that the Docker CLI's contexts name.
    ///
    /// # Errors
    /// When the contexts cannot be read.
    fn contexts(&self) -> Outcome<Vec<HostConfig>>;
    /// What carries images between registries and files, without an engine.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    fn depot(&self) -> Outcome<Depot>;
    /// Whether the session's state directory holds a state.
    fn has_state(&self, session: &Session) -> bool;
}

/// A token service elsewhere, and as whom it is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessDoor {
    /// Where it is: `https://NAME:PORT`.
    pub url: String,
    /// A user's name.
    pub login: String,
    /// Their password.
    pub secret: String,
    /// Further certificate authorities, PEM.
    pub ca: Option<PathBuf>,
}

/// What a token service elsewhere has done.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessChanged {
    /// In words.
    pub text: String,
    /// The secret that it has drawn for a robot.
    pub secret: Option<String>,
}

/// What a registry has to be told so that it asks our token service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAuth {
    /// Where its clients reach the token service.
    pub url: String,
    /// In whose name tokens are signed.
    pub issuer: String,
    /// Where the certificate of the signing key is on this machine.
    pub certificate: PathBuf,
    /// That certificate, PEM.
    pub pem: String,
    /// The secret that it reports with.
    pub events_secret: String,
}

/// Which install, and how: the options that every command has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// The state directory; `None` for the default.
    pub state: Option<PathBuf>,
    /// Nothing may be changed through this session.
    pub read_only: bool,
    /// Use just these engines, by address; empty means those that are known.
    pub hosts: Vec<String>,
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Looking only.
    Look,
    /// Changing something.
    Act,
}

/// A connection to an engine core.
pub struct Opened {
    /// The way to talk to it.
    pub handle: Handle,
    /// No engine was running: this process is the engine until `close`.
    pub own_engine: bool,
    /// Ends the connection, and the engine if it is our own.
    pub close: Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>,
}

/// How the console shall look.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleOptions {
    /// Which install, and how.
    pub session: Session,
    /// A theme's name or file.
    pub theme: Option<String>,
    /// The name in the header (`PROD`).
    pub environment: Option<String>,
    /// Colours, as asked for.
    pub color: Color,
}

/// The practice fleet of `longshore demo`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Practice {
    /// The same seed gives the same fleet and the same accidents.
    pub seed: Option<u64>,
    /// A file that says what there is and what happens.
    pub scenario: Option<PathBuf>,
}

/// Colours, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// One finding of `longshore doctor`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, in one sentence.
    pub finding: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// How a [`Check`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but something should be done.
    Warn,
    /// It does not work.
    Fail,
}

/// Exit status: done.
pub const DONE: u8 = 0;
/// Exit status: refused or failed.
pub const FAILED: u8 = 1;
/// Exit status: the arguments make no sense.
pub const USAGE: u8 = 2;

/// Widest help page, in columns.
const HELP_COLUMNS: usize = 100;

/// The whole command line: reads arguments (the first is the program's name), does what they say, and returns the exit
/// status: 0 done, 1 refused or failed, 2 usage, or that of the program for `exec`.
pub async fn main(args: impl IntoIterator<Item = OsString>, backend: &dyn Backend, io: &mut Io) -> u8 {
    let mut command = Cli::command().term_width(io.width.clamp(40, HELP_COLUMNS));
    let matches = command.try_get_matches_from_mut(args);
    let cli = match matches.and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(cli) => cli,
        Err(e) => return usage(&e, &mut Printer::new(io, Color::Auto)),
    };
    let printer = Printer::new(io, cli.global.color);
    let mut cx = Cx::new(backend, printer, &cli.global);
    let done = run(&mut cx, cli).await;
    let done = match (done, cx.print.flush()) {
        (Ok(status), Ok(()) | Err(Stop::BrokenPipe)) => Ok(status),
        (Err(stop), _) | (Ok(_), Err(stop)) => Err(stop),
    };
    let status = done.unwrap_or_else(|stop| cx.report(stop));
    cx.close().await;
    status
}

fn usage(error: &clap::Error, print: &mut Printer<'_>) -> u8 {
    let text = error.render().to_string();
    if !error.use_stderr() {
        // Nothing is left to be done when help cannot be written.
        return print.text(&text).and_then(|()| print.flush()).map_or(FAILED, |()| DONE);
    }
    let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    print.failure(what.strip_prefix("error: ").unwrap_or(what), None);
    for line in rest.lines().filter(|l| !l.is_empty() && !l.starts_with("For more information")) {
        print.note(line);
    }
    print.note("hint: `longshore --help` lists the commands, `longshore COMMAND --help` explains one");
    USAGE
}

async fn run(cx: &mut Cx<'_>, cli: Cli) -> Done {
    let console = ConsoleOptions {
        session: cx.session.clone(),
        theme: cli.theme,
        environment: cli.environment,
        color: cli.global.color,
    };
    let backend = cx.backend;
    match cli.verb {
        None => whole(backend.console(console).await),
        Some(Verb::Demo { seed, scenario }) => {
            whole(backend.demo(console, Practice { seed, scenario }).await)
        }
        Some(Verb::Engine) => whole(backend.engine(console.session, &mut |line| cx.print.note(line)).await),
        Some(Verb::Completions { shell }) => completions(cx, shell),
        Some(verb) => {
            cx.listen()?;
            command(cx, verb).await
        }
    }
}

async fn command(cx: &mut Cx<'_>, verb: Verb) -> Done {
    match verb {
        Verb::Up(args) => up::run(cx, &args).await,
        Verb::Down(args) => act::down(cx, args).await,
        Verb::Scale(args) => act::scale(cx, args).await,
        Verb::Restart { target, wait } => act::restart(cx, &target, &wait).await,
        Verb::Undo { pool, wait } => act::undo(cx, &pool, &wait).await,
        Verb::Cancel { op } => act::cancel(cx, &op).await,
        Verb::Pools { target } => list::pools(cx, target.as_deref()).await,
        Verb::Ps { target, all } => list::ps(cx, target.as_deref(), all).await,
        Verb::Hosts { verb: None, site } => hosts::list(cx, site.as_deref()).await,
        Verb::Hosts { verb: Some(verb), site } => hosts::run(cx, verb, site.as_deref()).await,
        Verb::Replicate { verb } => replicate::run(cx, verb).await,
        Verb::Registry { verb } => registry::run(cx, verb).await,
        Verb::User { verb } => access::user(cx, verb).await,
        Verb::Project { verb } => access::project(cx, verb).await,
        Verb::Robot { verb } => access::robot(cx, verb).await,
        Verb::Images { verb } => images::run(cx, verb).await,
        Verb::Image { verb } => image::run(cx, verb).await,
        Verb::Policy { verb } => policy::run(cx, verb).await,
        Verb::Harbor { verb } => harbor::run(cx, verb).await,
        Verb::Sites { verb } => sites::run(cx, verb).await,
        Verb::Prewarm(args) => prewarm::run(cx, &args).await,
        Verb::Estimate(args) => estimate::run(cx, &args).await,
        Verb::Why(args) => why::run(cx, &args).await,
        Verb::Rebalance(args) => rebalance::run(cx, &args).await,
        Verb::Advice { target } => advice::run(cx, target.as_deref()).await,
        Verb::Set(args) => set::run(cx, &args).await,
        Verb::Logs(args) => logs::run(cx, args).await,
        Verb::Inspect { target } => inspect::run(cx, &target).await,
        Verb::Exec(args) => exec::run(cx, args).await,
        Verb::Journal { pool, op, limit } => {
            journal::journal(cx, pool.as_deref(), op.as_deref(), limit).await
        }
        Verb::Ops { op: Some(op), .. } => prewarm::operation(cx, &op).await,
        Verb::Ops { op: None, limit } => journal::ops(cx, limit).await,
        Verb::Show { target } => show::run(cx, &target).await,
        Verb::Check { file, env_file } => check::file(cx, &file, env_file.as_deref()).await,
        Verb::Doctor => check::doctor(cx).await,
        Verb::Demo { .. } | Verb::Engine | Verb::Completions { .. } => Ok(DONE),
    }
}

fn whole(outcome: Outcome<()>) -> Done {
    outcome.map(|()| DONE).map_err(|fault: Fault| Stop::from(fault))
}

fn completions(cx: &mut Cx<'_>, shell: clap_complete::Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "longshore", &mut script);
    cx.print.raw(&script)?;
    Ok(DONE)
}
