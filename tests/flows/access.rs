//! Who may do what, through the engine: durable, told in the journal, in force at once at the desk, refused where only
//! looking is allowed. On virtual time, with the simulated fleet.

use std::sync::{Arc, Mutex};

use crate::flow::{Flow, SimConnector, pass};
use futures_util::future::BoxFuture;
use longshore::adapters::sim::Scenario;
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::engine::access::service::TokenService;
use longshore::engine::core::Connector;
use longshore::model::access::Role;
use longshore::model::access::command::AccessCommand;
use longshore::model::access::scope::Scope;
use longshore::model::command::Command;
use longshore::model::host::HostConfig;
use longshore::model::journal::{Draft, What};
use longshore::model::registry::Registry;
use longshore::ports::desk::{Desk, Secrets, Strength};
use longshore::ports::runtime::Runtime;
use tokio::sync::mpsc;

/// A token service whose door is a place in memory: what stands behind it is the engine's.
#[derive(Default)]
struct Door {
    desk: Mutex<Option<Arc<dyn Desk>>>,
    taken: Mutex<bool>,
    fails: Mutex<bool>,
}

/// Hashes that say what they are the hash of.
struct Plain;

impl Secrets for Plain {
    fn hash(&self, secret: String, _: Strength) -> BoxFuture<'static, Outcome<String>> {
        Box::pin(async move { Ok(format!("$argon2id${secret}")) })
    }

    fn verify(&self, secret: String, hash: Option<String>, _: Strength) -> BoxFuture<'static, Outcome<bool>> {
        Box::pin(async move { Ok(hash == Some(format!("$argon2id${secret}"))) })
    }

    fn draw(&self) -> Outcome<String> {
        Ok("drawn".into())
    }
}

/// Ends the service when it is dropped, as a socket is closed.
struct Closes(Arc<Door>);

impl Drop for Closes {
    fn drop(&mut self) {
        *self.0.desk.lock().unwrap() = None;
    }
}

struct Here(Arc<Door>);

impl TokenService for Here {
    fn url(&self) -> String {
        "https://longshore.example:5443".into()
    }

    fn secrets(&self) -> BoxFuture<'_, Outcome<Arc<dyn Secrets>>> {
        Box::pin(async { Ok(Arc::new(Plain) as Arc<dyn Secrets>) })
    }

    fn open(
        &self,
        desk: Arc<dyn Desk>,
        journal: mpsc::Sender<Draft>,
    ) -> BoxFuture<'_, Outcome<BoxFuture<'static, ()>>> {
        let door = self.0.clone();
        Box::pin(async move {
            if *door.fails.lock().unwrap() {
                return Err(Fault::new(Kind::Refused, "the address is taken").hint("end who has it"));
            }
            *door.desk.lock().unwrap() = Some(desk);
            *door.taken.lock().unwrap() = true;
            journal.try_send(Draft::engine(What::Refused, "log-in as mallory failed once")).unwrap();
            let closes = Closes(door.clone());
            Ok(Box::pin(async move {
                let _closes = closes;
                std::future::pending::<()>().await;
            }) as BoxFuture<'static, ()>)
        })
    }
}

struct WithTokens {
    hosts: SimConnector,
    door: Arc<Door>,
}

impl Connector for WithTokens {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.hosts.connect(host)
    }

    fn tokens(&self) -> Option<Arc<dyn TokenService>> {
        Some(Arc::new(Here(self.door.clone())))
    }
}

async fn begin(fails: bool) -> (Flow, Arc<Door>) {
    let mut flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    let door = Arc::new(Door { fails: Mutex::new(fails), ..Door::default() });
    again(&mut flow, &door).await;
    (flow, door)
}

async fn again(flow: &mut Flow, door: &Arc<Door>) {
    let connector = WithTokens { hosts: SimConnector(flow.fleet.clone()), door: door.clone() };
    let hosts = flow.fleet.hosts();
    flow.crash();
    flow.start_with(Arc::new(connector), hosts).await;
    pass(1).await;
}

async fn ask(flow: &Flow, command: AccessCommand) -> Result<String, String> {
    let done = flow.command("alice", Command::Access(Box::new(command))).await;
    done.map(|a| a.text).map_err(|r| r.text)
}

async fn people(flow: &Flow) {
    let password = Some("$argon2id$pw".to_owned());
    ask(flow, AccessCommand::PutUser { name: "ada".parse().unwrap(), password, admin: false }).await.unwrap();
    ask(flow, AccessCommand::PutProject { name: "feed".parse().unwrap() }).await.unwrap();
}

fn grant(role: Role) -> AccessCommand {
    AccessCommand::Grant { project: "feed".parse().unwrap(), user: "ada".parse().unwrap(), role }
}

/// What ada gets of pull, push and delete.
fn gets(door: &Door) -> String {
    let desk = door.desk.lock().unwrap().clone().unwrap();
    let asked = Scope::list("repository:feed/web:pull,push,delete").unwrap();
    let granted = desk.allowed(&"ada".parse().unwrap(), &asked).unwrap();
    granted.scopes.first().map(ToString::to_string).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_in_force_when_it_is_acknowledged_and_survives_a_crash() {
    let (mut flow, door) = begin(false).await;
    people(&flow).await;
    assert_eq!(gets(&door), "");
    assert_eq!(ask(&flow, grant(Role::Developer)).await.unwrap(), "appointed ada developer of feed");
    assert_eq!(gets(&door), "repository:feed/web:pull,push", "at once");
    let shown = flow.world().access.clone();
    assert_eq!(shown.projects.values().next().unwrap().members.len(), 1);
    assert!(shown.service.as_ref().is_some_and(|s| s.open && s.trouble.is_none()), "{shown:?}");
    assert!(!serde_json::to_string(&*flow.world()).unwrap().contains("argon2"), "no hash is ever shown");
    again(&mut flow, &door).await;
    assert_eq!(gets(&door), "repository:feed/web:pull,push", "after a crash");
    let (project, user) = ("feed".parse().unwrap(), "ada".parse().unwrap());
    ask(&flow, AccessCommand::Revoke { project, user }).await.unwrap();
    assert_eq!(gets(&door), "");
    pass(1).await;
    let journal = flow.journal().await;
    let said = |text: &str, by: &str| journal.iter().any(|l| l.text == text && l.by == by);
    for text in [
        "made user ada",
        "made project feed",
        "appointed ada developer of feed",
        "ada is no longer developer of feed",
    ] {
        assert!(said(text, "alice"), "no {text:?} in {journal:#?}");
    }
    assert!(said("log-in as mallory failed once", "engine"));
    assert!(!journal.iter().any(|l| l.text.contains("argon2")));
}

#[tokio::test(start_paused = true)]
async fn what_is_so_already_writes_nothing_and_what_is_refused_is_told() {
    let (flow, _door) = begin(false).await;
    people(&flow).await;
    ask(&flow, grant(Role::Guest)).await.unwrap();
    let before = flow.journal().await.len();
    assert_eq!(ask(&flow, grant(Role::Guest)).await.unwrap(), "ada is guest of feed already");
    assert_eq!(flow.journal().await.len(), before);
    let (project, user) = ("feed".parse().unwrap(), "bob".parse().unwrap());
    let refused = ask(&flow, AccessCommand::Grant { project, user, role: Role::Guest }).await.unwrap_err();
    assert_eq!(refused, "bob is not a user yet");
    let line = flow.journal().await.into_iter().next().unwrap();
    assert_eq!(
        (line.text.as_str(), line.what, line.by.as_str()),
        ("refused: bob is not a user yet", What::Refused, "alice")
    );
    let plain = AccessCommand::SetPassword { name: "ada".parse().unwrap(), password: "in the clear".into() };
    assert!(ask(&flow, plain).await.is_err(), "what is no hash never reaches the disk");
}

#[tokio::test(start_paused = true)]
async fn only_known_registries_are_served_and_an_ended_engine_serves_none() {
    let (mut flow, door) = begin(false).await;
    let desk = door.desk.lock().unwrap().clone().unwrap();
    assert!(!desk.knows("hq") && desk.well().is_ok());
    let hq = Registry::new("hq".parse().unwrap(), "hq.example:5000".into());
    flow.command("alice", Command::PutRegistry(Box::new(hq))).await.unwrap();
    assert!(desk.knows("hq"));
    flow.crash();
    pass(1).await;
    assert!(desk.well().is_err(), "nobody stands behind it any more");
    assert!(door.desk.lock().unwrap().is_none(), "the door is closed with the core");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_opened_is_shown_and_tried_again() {
    let (flow, door) = begin(true).await;
    let trouble = flow.world().engine.trouble.clone().unwrap();
    assert!(trouble.contains("the address is taken (end who has it)"), "{trouble}");
    people(&flow).await;
    assert!(flow.world().engine.trouble.is_some(), "what the disk says does not hide it");
    *door.fails.lock().unwrap() = false;
    pass(4).await;
    assert_eq!(flow.world().engine.trouble, None);
    assert!(flow.world().access.service.as_ref().unwrap().open && *door.taken.lock().unwrap());
}
