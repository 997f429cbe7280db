//! The Docker adapter against engines that are sick, hostile, or behind TLS and ssh.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Lab;
use crate::tls::certificates;
use longshore::adapters::docker::{DockerEngine, Options};
use longshore::base::fault::{Fault, Kind};
use longshore::base::ids::{ContainerId, HostId};
use longshore::model::host::{HostConfig, HostSource};
use longshore::ports::runtime::{Images, Lifecycle, Observe, Peek};

fn connect(address: String, tls_dir: Option<PathBuf>, options: Options) -> Result<DockerEngine, Fault> {
    let id = HostId::new("lab").unwrap();
    DockerEngine::connect(&HostConfig { id, address, tls_dir, source: HostSource::Added }, options)
}

fn plain(address: String) -> DockerEngine {
    connect(address, None, Options::default()).unwrap()
}

/// A child that is ended with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A server that reads a request's head and then does with the connection what the test wants.
fn server(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                answer(&mut stream);
            });
        }
    });
    address
}

fn says(head: &'static str, body: Vec<u8>) -> String {
    server(move |stream| {
        let _cut = stream.write_all(head.as_bytes());
        let _cut = stream.write_all(&body);
    })
}

#[tokio::test]
async fn answers_that_make_no_sense_are_typed_faults() {
    let json = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let html = b"<html>no ".to_vec();
    let garbage = plain(says(json, html)).list().await.unwrap_err();
    assert_eq!(garbage.kind, Kind::Bug, "{garbage}");
    let no_http = plain(says("SSH-2.0-OpenSSH_9.2\r\n\r\n", vec![])).list().await.unwrap_err();
    assert_eq!(no_http.kind, Kind::Bug, "{no_http}");
    let cut = plain(says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"[{".to_vec()))
        .list()
        .await
        .unwrap_err();
    assert_eq!(cut.kind, Kind::Unreachable, "{cut}");
    let closed = plain(server(|_| ())).list().await.unwrap_err();
    assert_eq!(closed.kind, Kind::Unreachable, "{closed}");
    let page = "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n";
    let gateway = plain(says(page, b"<html>\x1b]0;x\x07</html>".to_vec())).list().await.unwrap_err();
    assert_eq!(
        (gateway.kind, gateway.to_string().contains('\u{1b}')),
        (Kind::Unreachable, false),
        "{gateway}"
    );
    let refused = plain(format!("tcp://127.0.0.1:{}", free_port())).list().await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unreachable, "{refused}");
    let missing = plain("unix:///tmp/there/is/no.sock".to_owned()).list().await.unwrap_err();
    assert_eq!(missing.kind, Kind::Unreachable, "{missing}");
}

#[tokio::test]
async fn an_endless_answer_is_refused_at_its_cap() {
    // A gigabyte announced: refused before the first byte of it.
    let told = says("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"[".to_vec());
    assert_eq!(plain(told).list().await.unwrap_err().kind, Kind::Refused);
    // A gigabyte that comes without a word: refused after the cap.
    let untold = server(|stream| {
        let _cut = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let block = vec![b'['; 1 << 20];
        for _ in 0..1024 {
            if stream.write_all(&block).is_err() {
                return;
            }
        }
    });
    let id = ContainerId::new("a");
    assert_eq!(plain(untold).inspect(&id).await.unwrap_err().kind, Kind::Refused);
}

/// Virtual time: the deadline passes at once when nothing else moves.
#[tokio::test(start_paused = true)]
async fn silence_and_drops_end_at_the_deadline() {
    let silent = plain(server(|stream| {
        let _held = stream.read(&mut [0; 1]);
    }));
    let fault = silent.list().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Timeout, "{fault}");
    let id = ContainerId::new("a");
    assert_eq!(silent.start(&id).await.unwrap_err().kind, Kind::Timeout);
    assert_eq!(silent.events().await.err().map(|f| f.kind), Some(Kind::Timeout));
}

#[tokio::test]
async fn one_byte_a_second_ends_at_the_deadline() {
    let slow = plain(server(|stream| {
        let _cut = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(300));
        }
    }));
    assert_eq!(slow.list().await.unwrap_err().kind, Kind::Timeout);
}

#[tokio::test]
async fn the_first_call_has_no_version_and_the_next_one_speaks_the_engines() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let paths = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            let mut byte = [0];
            while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                text.push(char::from(byte[0]));
            }
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let calls = {
                let mut paths = paths.lock().unwrap();
                paths.push(path);
                paths.len()
            };
            // The engine is replaced by an older one before the third call.
            let (status, api) = match calls {
                1 | 2 => ("200 OK", "1.41"),
                3 => ("400 Bad Request", "1.30"),
                _ => ("200 OK", "1.30"),
            };
            let body = if calls == 3 { r#"{"message":"client version 1.41 is too new."}"# } else { "[]" };
            let head = format!("HTTP/1.1 {status}\r\nApi-Version: {api}\r\nConnection: close\r\n");
            let _cut = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let engine = plain(address);
    for _ in 0..3 {
        assert_eq!(engine.list().await, Ok(vec![]));
    }
    let wanted = ["", "/v1.41", "/v1.41", "/v1.30"].map(|v| format!("{v}/containers/json?all=1"));
    assert_eq!(*seen.lock().unwrap(), wanted);
}

/// An engine that has no image and answers a pull with these lines.
fn puller(lines: &'static str, then_hold: bool) -> DockerEngine {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            let mut byte = [0];
            while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                text.push(char::from(byte[0]));
            }
            let pull = text.starts_with("POST /images/create?fromImage=lab%2Fa&tag=1 ");
            let (status, body) = if pull {
                ("200 OK", lines)
            } else {
                ("404 Not Found", r#"{"message":"No such image: lab/a:1"}"#)
            };
            let _cut = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}");
            if pull && then_hold {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
    });
    plain(address)
}

#[tokio::test]
async fn a_pull_tells_its_progress_and_its_end() {
    let told = std::sync::Mutex::new(Vec::new());
    let lines = concat!(
        "{\"status\":\"Pulling from lab/a\",\"id\":\"1\"}\r\n",
        "{\"status\":\"Downloading\",\"id\":\"a\",\"progressDetail\":{\"current\":1,\"total\":4}}\r\n",
        "not json\r\n",
        "{\"status\":\"Download complete\",\"id\":\"a\"}\r\n",
    );
    puller(lines, false).pull("lab/a:1", &|done| told.lock().unwrap().push(done.thousandths)).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [250, 999, 1000]);
    let error = "{\"errorDetail\":{},\"error\":\"manifest for lab/a:1 not found: manifest unknown\"}\r\n";
    let fault = puller(error, false).pull("lab/a:1", &|_| ()).await.unwrap_err();
    assert_eq!(fault.kind, Kind::NotFound);
    assert_eq!(fault.to_string(), "cannot pull lab/a:1: the registry has no such image");
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_does_not_move_is_given_up() {
    let fault = puller("{\"status\":\"Waiting\",\"id\":\"a\"}\r\n", true).pull("lab/a:1", &|_| ()).await;
    assert_eq!(fault.unwrap_err().kind, Kind::Timeout);
}

#[tokio::test]
async fn the_event_stream_skips_nonsense_and_tells_its_cut() {
    use futures_util::StreamExt;
    let mut body = b"not json\n\xff\xfe\n{\"Action\":7}\n".to_vec();
    body.extend(vec![b'x'; 200_000]);
    body.extend(b"\n{\"Action\":\"die\",\"Actor\":{\"ID\":\"ab\"},\"time\":5}\n{\"Action\":");
    let cut = plain(says("HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", body));
    let events: Vec<_> = cut.events().await.unwrap().collect().await;
    assert_eq!(events.len(), 2, "{events:?}");
    let first = events[0].as_ref().unwrap();
    assert_eq!((first.action.raw(), first.at.0), ("die", 5000));
    assert_eq!(events[1].as_ref().unwrap_err().kind, Kind::Unreachable);
}

#[tokio::test]
async fn plain_tcp_beyond_this_machine_is_refused() {
    let refused = connect("tcp://192.0.2.1:2375".to_owned(), None, Options::default()).err().unwrap();
    assert_eq!(refused.kind, Kind::Refused, "{refused}");
    let allowed = Options { allow_plain_tcp: true, ..Options::default() };
    assert!(connect("tcp://192.0.2.1:2375".to_owned(), None, allowed).is_ok());
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_engine_times_out_and_the_others_go_on() {
    let Some(lab) = Lab::start_own(&[]) else { return };
    let (frozen, other) = (plain(lab.address()), plain(says_empty_list()));
    assert_eq!(frozen.list().await, Ok(vec![]));
    lab.freeze();
    let (fault, others) = tokio::join!(frozen.list(), async {
        let mut answers = 0;
        for _ in 0..20 {
            answers += usize::from(other.list().await.is_ok());
        }
        answers
    });
    assert_eq!((fault.unwrap_err().kind, others), (Kind::Timeout, 20));
    lab.thaw();
    assert_eq!(frozen.list().await, Ok(vec![]), "after it woke up");
}

/// A small file system for an engine's data, unmounted at the end.
struct Small(tempfile::TempDir);

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_exhausted() {
    let small = Small(tempfile::tempdir().unwrap());
    let path = small.0.path().display().to_string();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs", &path]).status();
    if !mounted.is_ok_and(|s| s.success()) {
        println!("skipped: no tmpfs may be mounted here");
        return;
    }
    let Some(lab) = Lab::start_own(&["--data-root", &path]) else { return };
    let mut filler = std::fs::File::create(small.0.path().join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let tag = longshore::model::container::Tag {
        install: longshore::base::ids::InstallId("0a1b2c3d".into()),
        pool: longshore::base::ids::PoolId::new("full", "web").unwrap(),
        slot: 1,
        generation: 1,
        revision: 1,
        op: longshore::base::ids::OpId(1),
    };
    let spec = longshore::model::pool::PoolSpec {
        image: lab.image(),
        command: Some(vec!["true".to_owned()]),
        ..Default::default()
    };
    let made = plain(lab.address()).create(&tag, &spec).await;
    let fault = made.unwrap_err();
    assert_eq!(fault.kind, Kind::Exhausted, "{fault}");
}

fn says_empty_list() -> String {
    says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", b"[]".to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_checks_both_sides() {
    let ours = tempfile::tempdir().unwrap();
    certificates(ours.path(), &["127.0.0.1"]);
    let port = free_port();
    let listen = format!("tcp://127.0.0.1:{port}");
    let more = crate::tls::listen(ours.path(), &format!("127.0.0.1:{port}"));
    let Some(_lab) = Lab::start_own(&more.iter().map(String::as_str).collect::<Vec<_>>()) else { return };
    let with = |dir: &Path| connect(listen.clone(), Some(dir.to_owned()), Options::default());
    assert_eq!(with(ours.path()).unwrap().list().await, Ok(vec![]));
    // Another CA on our side: the engine is not the one that we trust.
    let other = tempfile::tempdir().unwrap();
    certificates(other.path(), &["127.0.0.1"]);
    let fault = with(other.path()).unwrap().list().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
    assert!(fault.to_string().contains("TLS"), "{fault}");
    // A stranger's certificate on our side: the engine does not trust us.
    std::fs::copy(ours.path().join("ca.pem"), other.path().join("ca.pem")).unwrap();
    let fault = with(other.path()).unwrap().list().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(ours.path().join("key.pem"), mode).unwrap();
    assert_eq!(with(ours.path()).err().map(|f| f.kind), Some(Kind::Refused));
}

/// An sshd of its own on a loopback port; gives the client's configuration file.
fn sshd(dir: &Path, port: u16) -> Option<(Ended, PathBuf)> {
    let at = |name: &str| dir.join(name).display().to_string();
    for key in ["host", "user"] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).status();
        if !made.is_ok_and(|s| s.success()) {
            println!("skipped: ssh-keygen is not there");
            return None;
        }
    }
    std::fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
    let server = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n",
        at("host"),
        at("authorized")
    );
    std::fs::write(dir.join("sshd_config"), server).unwrap();
    let client = format!(
        "IdentityFile {}\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n",
        at("user")
    );
    std::fs::write(dir.join("ssh_config"), client).unwrap();
    std::fs::create_dir_all("/run/sshd").ok()?;
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", &at("sshd_config")])
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(dir.join("sshd.log")).unwrap())
        .spawn()
        .ok()?;
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((Ended(child), dir.join("ssh_config")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssh_carries_calls_and_comes_back_after_a_cut() {
    let Some(lab) = Lab::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some((daemon, config)) = sshd(dir.path(), port) else { return };
    let runtime = dir.path().join("run");
    std::fs::create_dir(&runtime).unwrap();
    let options = || Options {
        ssh_config: Some(config.clone()),
        runtime_dir: Some(runtime.clone()),
        ..Options::default()
    };
    let address = format!("ssh://root@127.0.0.1:{port}{}", lab.socket().display());
    let engine = connect(address, None, options()).unwrap();
    assert!(engine.list().await.is_ok(), "{:?}", engine.list().await);
    assert!(!engine.usage_is_free());
    // The tunnel is cut: the next call logs in again.
    let logins = || {
        let forward = format!("ssh -F {}", config.display());
        let found = Command::new("pgrep").args(["-f", &format!("^{forward}")]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = logins();
    assert_eq!(before.len(), 1);
    assert!(Command::new("kill").arg(&before[0]).status().unwrap().success());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(engine.list().await.is_ok(), "{:?}", engine.list().await);
    // Nobody at the other end of the tunnel.
    let nothing = connect(format!("ssh://root@127.0.0.1:{port}/no/such.sock"), None, options()).unwrap();
    let fault = nothing.list().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
    drop(daemon);
    let late = connect(format!("ssh://root@127.0.0.1:{port}/no/such.sock"), None, options()).unwrap();
    let fault = late.list().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
    assert!(fault.to_string().to_lowercase().contains("connection refused"), "{fault}");
    drop((engine, nothing, late));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(logins(), [""; 0], "logins are left behind");
    assert_eq!(std::fs::read_dir(&runtime).unwrap().count(), 0, "private sockets are left behind");
}
