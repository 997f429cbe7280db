//! From configuration to adapters, store and engine: with main.rs the only place that knows every layer.

mod config;
mod connect;
mod console;
mod doctor;
mod local;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::adapters::archive::TarFiles;
use crate::adapters::docker::contexts;
use crate::adapters::sim::{Fleet, Scenario, demo};
use crate::adapters::tokens::asking;
use crate::base::clock::{Clock, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{HostId, Seeded, SiteName};
use crate::cli::io::Io;
use crate::cli::{
    AccessChanged, AccessDoor, Backend, Check, ConsoleOptions, Opened, Practice, Purpose, RegistryAuth,
    Session,
};
use crate::engine::archive::Depot;
use crate::engine::core::Connector;
use crate::engine::session::{self, Setup};
use crate::model::access::command::AccessCommand;
use crate::model::access::view::AccessView;
use crate::model::command::{Command, HostEdit};
use crate::model::host::{HostConfig, HostSource};
use crate::model::pool::ClusterSpec;
use crate::model::query::Reply;
use crate::model::registry::Registry;
use crate::wire::config::Config;

/// The program with real engines behind it.
pub struct Wire {
    clock: SharedClock,
    home: Option<PathBuf>,
}

impl Default for Wire {
    fn default() -> Wire {
        Wire {
            clock: Arc::new(local::LocalClock::of_this_machine()),
            home: directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
        }
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs the program: arguments in, exit status out.
pub async fn run() -> u8 {
    let mut io = Io::process();
    crate::cli::main(std::env::args_os(), &Wire::default(), &mut io).await
}

impl Wire {
    /// The state directory: as told, else the platform's place for state.
    fn state_dir(session: &Session) -> Outcome<PathBuf> {
        if let Some(dir) = &session.state {
            return Ok(dir.clone());
        }
        let dirs = directories::ProjectDirs::from("", "", "longshore").ok_or_else(|| {
            Fault::new(Kind::Invalid, "there is no home directory to keep the state in")
                .hint("give a directory with --state DIR")
        })?;
        Ok(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned())
    }

    /// The engines to look at: just those that were named, else those of the configuration and the environment.
    fn hosts(&self, session: &Session, config: &Config) -> Outcome<Vec<HostConfig>> {
        if !session.hosts.is_empty() {
            return session
                .hosts
                .iter()
                .enumerate()
                .map(|(i, address)| config::named_by_address(i, address))
                .collect();
        }
        let mut hosts = config.hosts.clone();
        let wants_local = config.local.unwrap_or(hosts.is_empty() || env("DOCKER_HOST").is_some());
        if wants_local {
            let local = contexts::default_engine(&env, self.home.as_deref())?;
            if !hosts.iter().any(|h| h.address == local.address || h.id == local.id) {
                hosts.push(local);
            }
        }
        Ok(hosts)
    }

    fn setup(&self, session: &Session, purpose: Purpose) -> Outcome<Setup> {
        let config = Config::load()?;
        let mut seed = Seeded::new(entropy(&*self.clock));
        let dir = Wire::state_dir(session)?;
        let docker = connect::Docker::new(&config, self.home.as_deref(), self.clock.clone());
        let connector: Arc<dyn Connector> = Arc::new(docker.with_tokens(&config, &dir));
        Ok(Setup {
            dir,
            read_only: session.read_only,
            look: purpose == Purpose::Look,
            clock: self.clock.clone(),
            connector,
            hosts: self.hosts(session, &config)?,
            fresh_install: seed.install(),
            simulated: false,
        })
    }
}

impl Wire {
    /// How engines and registries are reached, without any token service.
    fn docker(&self) -> Outcome<connect::Docker> {
        Ok(connect::Docker::new(&Config::load()?, self.home.as_deref(), self.clock.clone()))
    }
}

/// A number that differs between installs: the time and the process. Not a secret.
#[expect(clippy::cast_sign_loss, reason = "only its bits count")]
fn entropy(clock: &dyn Clock) -> u64 {
    (clock.now().0 as u64) << 20 ^ u64::from(std::process::id())
}

impl Backend for Wire {
    fn open(&self, session: Session, purpose: Purpose) -> BoxFuture<'_, Outcome<Opened>> {
        async move {
            let session = session::open(self.setup(&session, purpose)?).await?;
            let (handle, own_engine) = (session.handle.clone(), session.own_engine);
            Ok(Opened { handle, own_engine, close: Box::new(|| session.close().boxed()) })
        }
        .boxed()
    }

    fn console(&self, options: ConsoleOptions) -> BoxFuture<'_, Outcome<()>> {
        async move {
            let config = Config::load()?;
            let setup = self.setup(&options.session, Purpose::Act)?;
            console::run(setup, &options, &config).await
        }
        .boxed()
    }

    fn demo(&self, options: ConsoleOptions, practice: Practice) -> BoxFuture<'_, Outcome<()>> {
        async move {
            let (scenario, files) = scenario(&practice)?;
            let dir = tempfile::Builder::new().prefix("longshore-demo-").tempdir().map_err(|e| {
                Fault::new(Kind::Refused, format!("the practice fleet needs a temporary directory: {e}"))
            })?;
            let inventory = inventory(&scenario)?;
            let fleet = Fleet::new(scenario, self.clock.clone());
            let setup = Setup {
                dir: dir.path().to_owned(),
                read_only: options.session.read_only,
                look: false,
                clock: self.clock.clone(),
                hosts: fleet.hosts(),
                connector: Arc::new(connect::Simulated(fleet)),
                fresh_install: Seeded::new(practice.seed.unwrap_or(1)).install(),
                simulated: true,
            };
            bring_up(&setup, inventory, &files).await?;
            console::run(setup, &options, &Config::default()).await
        }
        .boxed()
    }

    fn engine<'a>(
        &'a self,
        session: Session,
        say: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Outcome<()>> {
        async move {
            if session.read_only {
                return Err(
                    Fault::new(Kind::Invalid, "an engine cannot be read-only").hint("leave out --read-only")
                );
            }
            let session = session::open(self.setup(&session, Purpose::Act)?).await?;
            console::headless(&session.handle, say).await?;
            session.close().await;
            Ok(())
        }
        .boxed()
    }

    fn doctor(&self, session: Session) -> BoxFuture<'_, Vec<Check>> {
        doctor::examine(self, session).boxed()
    }

    fn hash(&self, password: String) -> BoxFuture<'_, Outcome<String>> {
        tokens::hash(password).boxed()
    }

    fn draw(&self) -> BoxFuture<'_, Outcome<(String, String)>> {
        tokens::draw().boxed()
    }

    fn registry_auth(&self, session: &Session) -> Outcome<Option<RegistryAuth>> {
        let (config, state) = (Config::load()?, Wire::state_dir(session)?);
        config.tokens.map(|settings| tokens::registry_auth(&settings, &state)).transpose()
    }

    fn look_access(&self, door: AccessDoor) -> BoxFuture<'_, Outcome<AccessView>> {
        let AccessDoor { url, login, secret, ca } = door;
        async move { asking::look(&asking::Door { url, login, secret, ca }).await }.boxed()
    }

    fn change_access(
        &self,
        door: AccessDoor,
        command: AccessCommand,
    ) -> BoxFuture<'_, Outcome<AccessChanged>> {
        let AccessDoor { url, login, secret, ca } = door;
        async move {
            let door = asking::Door { url, login, secret, ca };
            let asking::Changed { text, secret } = asking::change(&door, &command).await?;
            Ok(AccessChanged { text, secret })
        }
        .boxed()
    }

    fn log_in(&self, registry: Registry, username: String, secret: String) -> BoxFuture<'_, Outcome<String>> {
        async move { self.docker()?.log_in(&registry, &username, &secret).await }.boxed()
    }

    fn log_out(&self, registry: Registry) -> BoxFuture<'_, Outcome<Option<String>>> {
        async move { self.docker()?.log_out(&registry).await }.boxed()
    }

    fn contexts(&self) -> Outcome<Vec<HostConfig>> {
        let all = contexts::all(&env, self.home.as_deref())?;
        Ok(all
            .into_iter()
            .filter_map(|(_, host)| host.ok())
            .map(|host| HostConfig { source: HostSource::Context, ..host })
            .collect())
    }

    fn depot(&self) -> Outcome<Depot> {
        let connector = connect::Docker::new(&Config::load()?, self.home.as_deref(), self.clock.clone());
        Ok(Depot::new(Arc::new(connector), Arc::new(TarFiles), self.clock.clone()))
    }

    fn has_state(&self, session: &Session) -> bool {
        Wire::state_dir(session).is_ok_and(|dir| dir.join(crate::store::open::FILE).exists())
    }
}

type Files = Vec<(&'static str, &'static str)>;

/// The scenario of the practice fleet, and the pool files that are brought up on it.
fn scenario(practice: &Practice) -> Outcome<(Scenario, Files)> {
    let (mut scenario, files) = match &practice.scenario {
        None => demo()?,
        Some(path) => (read_scenario(path)?, Vec::new()),
    };
    if let Some(seed) = practice.seed {
        scenario.seed = seed;
    }
    Ok((scenario, files))
}

fn read_scenario(path: &Path) -> Outcome<Scenario> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Fault::new(Kind::NotFound, format!("the scenario {} cannot be read: {e}", path.display()))
    })?;
    Scenario::parse(&text).map_err(|fault| fault.because(path.display().to_string()))
}

/// The sites of the practice fleet, as its engines' labels say: somebody recorded them before you came.
fn inventory(scenario: &Scenario) -> Outcome<Vec<Command>> {
    let mut sites: BTreeMap<&str, Vec<HostId>> = BTreeMap::new();
    for host in &scenario.hosts {
        if let Some(site) = host.labels.get("site") {
            sites.entry(site).or_default().push(host.name.clone());
        }
    }
    let of_site = |(site, hosts)| {
        let edit = HostEdit { site: Some(Some(SiteName::new(site)?)), ..HostEdit::default() };
        Ok(Command::EditHosts { hosts, edit: Box::new(edit) })
    };
    sites.into_iter().map(of_site).collect()
}

/// Brings the demonstration's pools up before the screen opens, as somebody did before you came.
async fn bring_up(setup: &Setup, inventory: Vec<Command>, files: &Files) -> Outcome<()> {
    let specs = read_specs(setup, files)?;
    let session = session::open(Setup { read_only: false, ..setup.clone() }).await?;
    let up = |spec| Command::Up { spec: Box::new(spec), reset_scale: false };
    for command in inventory.into_iter().chain(specs.into_iter().map(up)) {
        if let Reply::Refused(refusal) = session.handle.command(command).await {
            return Err(Fault::new(Kind::Refused, refusal.text));
        }
    }
    session.close().await;
    Ok(())
}

fn read_specs(setup: &Setup, files: &Files) -> Outcome<Vec<ClusterSpec>> {
    let sources = crate::spec::Sources { folder: setup.dir.clone(), env: &|_| None, read: &|_| Ok(None) };
    files.iter().map(|(name, text)| Ok(crate::spec::read_text(name, text, &sources)?.spec)).collect()
}
