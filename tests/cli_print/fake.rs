//! An engine that answers from a script, and surroundings that keep what is printed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use longshore::base::clock::TokioClock;
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::base::ids::HostId;
use longshore::base::text::is_hostile;
use longshore::cli::io::{Io, Keys};
use longshore::cli::{
    AccessChanged, AccessDoor, Backend, Check, ConsoleOptions, Opened, Practice, Purpose, RegistryAuth,
    Session, Verdict, main as longshore,
};
use longshore::engine::archive::Depot;
use longshore::engine::handle::{CALLS_MAX, Call, Handle};
use longshore::model::access::command::AccessCommand;
use longshore::model::access::view::AccessView;
use longshore::model::exec::{ExecInput, ExecOutput, ExecSession};
use longshore::model::host::{HostConfig, HostSource};
use longshore::model::logs::{LogChunk, LogTarget};
use longshore::model::policy::ImageVerdict;
use longshore::model::query::{Query, Reply, Request};
use longshore::model::registry::Registry;
use longshore::model::world::World;
use tokio::sync::{Notify, mpsc, watch};

use crate::data::*;
pub type Answer = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// An engine that answers from a script.
pub struct Fake {
    pub answer: Answer,
    pub world: watch::Sender<Arc<World>>,
    pub own: bool,
    pub asked: Arc<Mutex<Vec<Request>>>,
    pub tailed: Arc<Mutex<Vec<LogTarget>>>,
    pub chunks: Vec<LogChunk>,
    pub exec: Vec<ExecOutput>,
    pub typed: Arc<Mutex<Vec<ExecInput>>>,
    pub opened: Mutex<Vec<(Session, Purpose)>>,
    pub closed: Arc<Mutex<usize>>,
    /// What the rules for images say; empty where there are none.
    pub verdicts: Vec<ImageVerdict>,
    /// The state directory holds a state.
    pub state: bool,
}

impl Fake {
    pub fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
        Fake {
            answer: Arc::new(answer),
            world: watch::Sender::new(Arc::new(world())),
            own: false,
            asked: Arc::default(),
            tailed: Arc::default(),
            chunks: Vec::new(),
            exec: Vec::new(),
            typed: Arc::default(),
            opened: Mutex::default(),
            closed: Arc::default(),
            verdicts: Vec::new(),
            state: false,
        }
    }

    pub fn mute() -> Fake {
        Fake::new(|request| panic!("nothing should be asked: {request:?}"))
    }

    pub fn with(self, change: impl FnOnce(&mut World)) -> Fake {
        self.world.send_modify(|world| change(Arc::make_mut(world)));
        self
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Backend for Fake {
    fn open(&self, session: Session, purpose: Purpose) -> BoxFuture<'_, Outcome<Opened>> {
        self.opened.lock().unwrap().push((session, purpose));
        let (calls, mut queue) = mpsc::channel(CALLS_MAX);
        let (answer, asked) = (Arc::clone(&self.answer), Arc::clone(&self.asked));
        let (chunks, tailed) = (self.chunks.clone(), Arc::clone(&self.tailed));
        let (exec, typed) = (self.exec.clone(), Arc::clone(&self.typed));
        let verdicts = self.verdicts.clone();
        tokio::spawn(async move {
            while let Some(call) = queue.recv().await {
                match call {
                    Call::Ask { request: Request::Query(Query::CheckImages { .. }), reply } => {
                        let _ = reply.send(Reply::ImageVerdicts(verdicts.clone()));
                    }
                    Call::Ask { request, reply } | Call::Looked { request, reply } => {
                        asked.lock().unwrap().push(request.clone());
                        let _ = reply.send(answer(&request));
                    }
                    Call::Tail { request, sink } => {
                        tailed.lock().unwrap().push(request.target);
                        for chunk in &chunks {
                            let _ = sink.send(chunk.clone()).await;
                        }
                    }
                    Call::Exec { reply, .. } => {
                        let (input, mut keys) = mpsc::channel(8);
                        let (out, output) = mpsc::channel(8);
                        let _ = reply.send(Ok(ExecSession { input, output }));
                        let (exec, typed) = (exec.clone(), Arc::clone(&typed));
                        tokio::spawn(async move {
                            // Ends when the input is closed, or at Ctrl-D, as `cat` does.
                            while let Some(key) = keys.recv().await {
                                let end = key == ExecInput::Bytes(b"\x04".to_vec());
                                typed.lock().unwrap().push(key);
                                if end {
                                    break;
                                }
                            }
                            for some in exec {
                                let _ = out.send(some).await;
                            }
                        });
                    }
                }
            }
        });
        let closed = Arc::clone(&self.closed);
        let opened = Opened {
            handle: Handle::new(calls, self.world.subscribe()),
            own_engine: self.own,
            close: Box::new(move || {
                *closed.lock().unwrap() += 1;
                Box::pin(async {})
            }),
        };
        Box::pin(async { Ok(opened) })
    }

    fn console(&self, options: ConsoleOptions) -> BoxFuture<'_, Outcome<()>> {
        let text = format!("console {:?} {:?}", options.environment, options.theme);
        Box::pin(async { Err(Fault::new(Kind::Refused, text).hint("a hint")) })
    }

    fn demo(&self, _: ConsoleOptions, practice: Practice) -> BoxFuture<'_, Outcome<()>> {
        Box::pin(async move { Err(Fault::new(Kind::Refused, format!("demo {:?}", practice.seed))) })
    }

    fn engine<'a>(&'a self, _: Session, _: &'a mut (dyn FnMut(&str) + Send)) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async { Ok(()) })
    }

    fn doctor(&self, _: Session) -> BoxFuture<'_, Vec<Check>> {
        let check = |name: &str, verdict, advice: Option<&str>| Check {
            name: name.into(),
            verdict,
            finding: format!("found {EVIL}"),
            advice: advice.map(Into::into),
        };
        let all = vec![
            check("state directory", Verdict::Ok, None),
            check("docker", Verdict::Warn, Some("start it")),
            check("disk", Verdict::Fail, Some("free some space")),
        ];
        Box::pin(async { all })
    }

    fn hash(&self, password: String) -> BoxFuture<'_, Outcome<String>> {
        Box::pin(async move { Ok(format!("$argon2id${}", password.len())) })
    }

    fn draw(&self) -> BoxFuture<'_, Outcome<(String, String)>> {
        Box::pin(async { Ok(("drawn-secret".into(), "$argon2id$drawn".into())) })
    }

    fn look_access(&self, door: AccessDoor) -> BoxFuture<'_, Outcome<AccessView>> {
        let seen = (*self.world.borrow().access).clone();
        Box::pin(async move {
            match door.secret.as_str() {
                "right-one" => Ok(AccessView { robots: Vec::new(), ..seen }),
                _ => Err(Fault::new(Kind::Refused, "name or secret is wrong")),
            }
        })
    }

    fn change_access(
        &self,
        door: AccessDoor,
        mut command: AccessCommand,
    ) -> BoxFuture<'_, Outcome<AccessChanged>> {
        Box::pin(async move {
            let AccessDoor { url, login, secret, ca } = door;
            let drawn = command.robot_hash().filter(|hash| hash.is_empty()).map(|_| "drawn-there".to_owned());
            match secret.as_str() {
                "right-one" => {
                    let text = format!("{login} at {url}, {ca:?}: {command:?}");
                    Ok(AccessChanged { text, secret: drawn })
                }
                _ => Err(Fault::new(Kind::Refused, "name or secret is wrong").hint("ask again")),
            }
        })
    }

    fn registry_auth(&self, _: &Session) -> Outcome<Option<RegistryAuth>> {
        Ok(self.own.then(|| RegistryAuth {
            url: "https://longshore.example:5443".into(),
            issuer: "longshore".into(),
            certificate: "/state/registry-tokens/certificate.pem".into(),
            pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            events_secret: "s3cret".into(),
        }))
    }

    fn log_in(&self, registry: Registry, username: String, secret: String) -> BoxFuture<'_, Outcome<String>> {
        Box::pin(async move {
            match secret.as_str() {
                "right-one" => Ok("/home/ada/.docker/config.json".into()),
                _ => {
                    Err(Fault::new(Kind::Refused, format!("{} does not accept {username}", registry.address)))
                }
            }
        })
    }

    fn log_out(&self, registry: Registry) -> BoxFuture<'_, Outcome<Option<String>>> {
        Box::pin(async move { Ok((registry.name.as_str() == "hq").then(|| "docker-credential-pass".into())) })
    }

    fn contexts(&self) -> Outcome<Vec<HostConfig>> {
        let host = |name: &str, address: &str| HostConfig {
            id: HostId::new(name).unwrap(),
            address: address.into(),
            tls_dir: None,
            source: HostSource::Context,
        };
        Ok(vec![host("bj-03", "tcp://bj-03:2376"), host("new-1", "ssh://new-1")])
    }

    fn depot(&self) -> Outcome<Depot> {
        Err(Fault::new(Kind::Refused, "nothing is carried here"))
    }

    fn has_state(&self, _: &Session) -> bool {
        self.state
    }
}

/// Both outputs in one place, in the order of writing.
#[derive(Clone, Default)]
pub struct Paper(pub Arc<Mutex<Vec<(bool, Vec<u8>)>>>);

impl Paper {
    pub fn text(&self, of_err: bool) -> String {
        let all = self.0.lock().unwrap();
        let bytes = all.iter().filter(|(err, _)| *err == of_err).flat_map(|(_, b)| b.clone());
        String::from_utf8(bytes.collect()).unwrap()
    }
}

pub struct Pen(pub Paper, pub bool, pub Option<io::ErrorKind>);

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.2 {
            return Err(kind.into());
        }
        self.0.0.lock().unwrap().push((self.1, bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Typed(pub Vec<&'static str>, pub Option<(u16, u16)>);

impl Keys for Typed {
    fn size(&self) -> Option<(u16, u16)> {
        self.1
    }
    fn raw(&self) -> Outcome<Box<dyn Send>> {
        Ok(Box::new(()))
    }
    fn read(&mut self) -> mpsc::Receiver<Vec<u8>> {
        let (keys, read) = mpsc::channel(8);
        for text in self.0.drain(..) {
            keys.try_send(text.as_bytes().to_vec()).unwrap();
        }
        read
    }
}

#[derive(Debug)]
pub struct Ran {
    pub status: u8,
    pub out: String,
    pub err: String,
}

pub struct Run {
    pub paper: Paper,
    pub io: Io,
}

impl Run {
    pub fn new() -> Run {
        let paper = Paper::default();
        let io = Io {
            out: Box::new(Pen(paper.clone(), false, None)),
            err: Box::new(Pen(paper.clone(), true, None)),
            out_is_tty: false,
            err_is_tty: false,
            width: 100,
            env: BTreeMap::new(),
            clock: Arc::new(TokioClock::starting_at(NOW)),
            interrupt: Arc::new(Notify::new()),
            signals: false,
            keys: Box::new(Typed(vec!["abc"], None)),
        };
        Run { paper, io }
    }

    pub async fn go(mut self, fake: &Fake, line: &str) -> Ran {
        let words = std::iter::once("longshore").chain(line.split(' ').filter(|w| !w.is_empty()));
        let status = longshore(words.map(OsString::from), fake, &mut self.io).await;
        let ran = Ran { status, out: self.paper.text(false), err: self.paper.text(true) };
        assert_eq!(*fake.closed.lock().unwrap(), fake.opened.lock().unwrap().len(), "closed");
        ran
    }
}

pub async fn run(fake: &Fake, line: &str) -> Ran {
    Run::new().go(fake, line).await
}

pub fn clean(ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)), "{text:?}");
    }
}
