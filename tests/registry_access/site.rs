//! Two real registries, our token service in front of them, a list of users, and skopeo as the client.

use std::net::TcpListener as Port;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::tokens::counts::Counts;
use longshore::adapters::tokens::keys::{SigningKey, certificate_path};
use longshore::adapters::tokens::limits::Limits;
use longshore::adapters::tokens::listener::{Listen, Listener, Parts};
use longshore::adapters::tokens::secrets::Argon;
use longshore::adapters::tokens::sign::Signer;
use longshore::base::clock::{Clock, Millis, SystemClock};
use longshore::engine::access::desk::{EngineDesk, Known};
use longshore::model::access::command::AccessCommand;
use longshore::model::access::{Role, Subject};
use longshore::plan::access::apply::apply;
use longshore::ports::desk::{Hint, Secrets, Strength};
use longshore::view::registry_auth::{AuthConfig, auth_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::support::skopeo::look;

/// How soon a robot's time ends in a test, in milliseconds.
pub const SOON_MS: u64 = 1_500;
const EVENTS_SECRET: &str = "the-secret-of-reports";

/// One real registry.
pub struct Registry {
    /// `HOST:PORT`.
    pub address: String,
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Registry {
    /// A reference to an image here.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    fn start(n: usize, service: &str, certificate: &Path) -> Registry {
        let dir = tempfile::tempdir().unwrap();
        let free = Port::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let auth = auth_config(&AuthConfig {
            registry: format!("hub-{n}"),
            base: service.to_owned(),
            service: format!("hub-{n}"),
            issuer: "longshore-test".into(),
            certificate: certificate.display().to_string(),
            events_secret: Some(EVENTS_SECRET.into()),
        });
        let storage = dir.path().join("data");
        let text = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n  secret: x\n{auth}",
            storage.display()
        );
        let config = dir.path().join("config.yml");
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("docker-registry");
        Registry { address, child, dir }
    }

    async fn until_it_answers(&mut self) {
        for _ in 0..200 {
            if let Ok(status) = http(&self.address, "GET /v2/", &[]).await {
                assert_eq!(status.0, 401, "it asks for a log-in");
                return;
            }
            if let Some(ended) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap();
                panic!("the registry ended with {ended}:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the registry did not answer");
    }
}

/// Status and body of one small request.
async fn http(address: &str, request: &str, headers: &[String]) -> std::io::Result<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let more: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())))
}

/// The registries, the service, and who there is.
pub struct Site {
    pub registries: Vec<Registry>,
    pub hints: mpsc::Receiver<Hint>,
    pub counts: Arc<Counts>,
    /// What the engine's desk goes by, as the core says it.
    known: watch::Sender<Known>,
    argon: Arc<Argon>,
    service: String,
    task: tokio::task::JoinHandle<()>,
    _journal: mpsc::Receiver<longshore::model::journal::Draft>,
    _state: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    /// So many registries and one token service; `None`, with the reason printed, when they are not asked for.
    pub async fn start(count: usize) -> Option<Site> {
        if std::env::var("LONGSHORE_TEST_REGISTRY").as_deref() != Ok("1") {
            println!("skipped: no registry (LONGSHORE_TEST_REGISTRY=1 needs docker-registry and skopeo)");
            return None;
        }
        let state = tempfile::tempdir().unwrap();
        let key = SigningKey::open(state.path()).unwrap();
        let (hints_in, hints) = mpsc::channel(1000);
        let (journal_in, journal) = mpsc::channel(100);
        let names = (0..count).map(|n| format!("hub-{n}").parse().unwrap()).collect();
        let (known, seen) = watch::channel(Known { registries: Arc::new(names), ..Known::default() });
        let argon = Arc::new(Argon::new().unwrap());
        let desk = EngineDesk {
            known: seen,
            secrets: argon.clone(),
            clock: Arc::new(SystemClock),
            hints: Arc::new(move |hint| hints_in.try_send(hint).is_ok()),
            changes: Arc::new(|_, _| panic!("no test changes anything through the service")),
        };
        let listen = Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            proxies: None,
            events_secret: Some(EVENTS_SECRET.into()),
            limits: Limits { failures_of_address: 1000, failures_of_name: 1000, ..Limits::default() },
        };
        let parts = Parts {
            desk: Arc::new(desk),
            signer: Signer::new(key, "longshore-test"),
            clock: Arc::new(SystemClock),
            journal: journal_in,
        };
        let listener = Listener::open(listen, parts).await.unwrap();
        let (service, counts) = (listener.address().to_string(), listener.counts());
        let task = tokio::spawn(listener.serve());
        let certificate = certificate_path(state.path());
        let base = format!("http://{service}");
        let mut registries: Vec<Registry> =
            (0..count).map(|n| Registry::start(n, &base, &certificate)).collect();
        for registry in &mut registries {
            registry.until_it_answers().await;
        }
        let site =
            Site { registries, hints, counts, known, argon, service, task, _journal: journal, _state: state };
        site.people().await;
        Some(site)
    }

    async fn people(&self) {
        for name in ["root", "ada", "dev", "gail", "newcomer"] {
            let password = self.argon.hash(format!("pw-{name}"), Strength::Password).await.unwrap();
            let (name, admin) = (name.parse().unwrap(), name == "root");
            self.ask("os", AccessCommand::PutUser { name, password: Some(password), admin });
        }
        for name in ["feed", "other"] {
            self.ask("root", AccessCommand::PutProject { name: name.parse().unwrap() });
        }
        for (user, role) in [("ada", Role::ProjectAdmin), ("dev", Role::Developer), ("gail", Role::Guest)] {
            let (project, user) = ("feed".parse().unwrap(), user.parse().unwrap());
            self.ask("root", AccessCommand::Grant { project, user, role });
        }
        let secret = self.argon.hash("robot-secret".into(), Strength::Drawn).await.unwrap();
        for (name, soon) in [("ci", 3_600_000), ("late", 1)] {
            let (project, name) = ("feed".parse().unwrap(), name.parse().unwrap());
            let expires = Some(self.now().plus(soon));
            let (role, secret) = (Role::Developer, secret.clone());
            self.ask("ada", AccessCommand::MakeRobot { project, name, role, secret, expires });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    pub fn now(&self) -> Millis {
        SystemClock.now()
    }

    /// Changes who may do what, as somebody.
    pub fn ask(&self, by: &str, command: AccessCommand) {
        let by = if by == "os" { Subject::Operator("tester".into()) } else { by.parse().unwrap() };
        self.known.send_modify(|known| {
            let applied = apply(&known.access, &by, command, self.now()).unwrap();
            let access = Arc::make_mut(&mut known.access);
            applied.changes.into_iter().for_each(|change| access.change(change));
        });
    }

    /// A token as a client gets it.
    pub async fn token(&self, login: &str, secret: &str, service: &str, scope: &str) -> String {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{login}:{secret}"));
        let request = format!("GET /token?service={service}&scope={scope}");
        let (status, body) =
            http(&self.service, &request, &[format!("Authorization: Basic {basic}")]).await.unwrap();
        assert_eq!(status, 200, "{body}");
        let said: serde_json::Value = serde_json::from_str(&body).unwrap();
        said["token"].as_str().unwrap().to_owned()
    }

    /// The status of a request to the registry that calls itself so.
    pub async fn get(&self, hub: &str, path: &str, token: &str) -> u16 {
        let n: usize = hub.strip_prefix("hub-").unwrap().parse().unwrap();
        let header =
            if token.is_empty() { Vec::new() } else { vec![format!("Authorization: Bearer {token}")] };
        http(&self.registries[n].address, &format!("GET {path}"), &header).await.unwrap().0
    }
}

/// Whether the image is there, as the system admin sees it.
pub async fn is_there(image: &str) -> bool {
    look("root", "pw-root", image).await.is_ok()
}
