//! A small HTTP server that answers as a test wants, and a proxy that spoils what another server answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With its query.
    pub path: String,
    /// The lines of its head.
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    /// One of its headers.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|l| l.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    /// True when it carries anything that logs in.
    pub fn has_login(&self) -> bool {
        let head = self.head.to_lowercase();
        ["authorization", "bearer", "basic ", "secret", "t0ken"].iter().any(|word| head.contains(word))
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, these headers, this body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// What the server behind says.
    Pass,
    /// Nothing, ever.
    Silence,
}

/// What is spoilt about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// One bit of this byte of the body is another.
    Flip(usize),
    /// The length that is said is so much more than what comes.
    Longer(usize),
    /// One byte a second.
    Drip,
}

type Handler = dyn Fn(&Seen) -> (Reply, Trouble) + Send + Sync;

/// One server. It ends with its test.
pub struct Proxy {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// A server that answers by itself.
    pub async fn serve(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Proxy {
        Proxy::before("", move |seen| (handler(seen), Trouble::None)).await
    }

    /// A server before another one at `HOST:PORT`.
    pub async fn before(
        behind: &str,
        handler: impl Fn(&Seen) -> (Reply, Trouble) + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seen, handler): (Arc<Mutex<Vec<Seen>>>, Arc<Handler>) = (Arc::default(), Arc::new(handler));
        let (kept, behind) = (Arc::clone(&seen), behind.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, handler, behind) = (Arc::clone(&kept), Arc::clone(&handler), behind.clone());
                tokio::spawn(async move { one(stream, &kept, &*handler, &behind).await });
            }
        });
        Proxy { address, seen, task }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a head and the body that it announces, by length or in chunks.
async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; 64 << 10]);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        let n = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&part[..n]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut seen = Seen { method, path, head, body: bytes[end + 4..].to_vec() };
    let length = seen.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    while seen.body.len() < length {
        let n = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        seen.body.extend_from_slice(&part[..n]);
    }
    Some(seen)
}

async fn one(mut stream: TcpStream, kept: &Mutex<Vec<Seen>>, handler: &Handler, behind: &str) {
    let Some(seen) = read(&mut stream).await else { return };
    kept.lock().unwrap().push(seen.clone());
    let (reply, trouble) = handler(&seen);
    let (head, body) = match reply {
        Reply::Silence => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return;
        }
        Reply::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
            if !headers.iter().any(|(n, _)| *n == "Content-Length") {
                head += &format!("Content-Length: {}\r\n", body.len());
            }
            headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
            (head, if seen.method == "HEAD" { Vec::new() } else { body })
        }
        Reply::Pass => match pass(&seen, behind).await {
            Some(answer) => answer,
            None => return,
        },
    };
    write(&mut stream, head, body, trouble).await;
}

/// Asks the server behind, on a connection of its own.
async fn pass(seen: &Seen, behind: &str) -> Option<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(behind).await.ok()?;
    let head = seen.head.replace("connection: keep-alive\r\n", "");
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.ok()?;
    stream.write_all(&seen.body).await.ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok()?;
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Some((format!("{head}\r\n"), bytes[end + 4..].to_vec()))
}

async fn write(stream: &mut TcpStream, mut head: String, mut body: Vec<u8>, trouble: Trouble) {
    match trouble {
        Trouble::Cut(at) => body.truncate(at),
        Trouble::Flip(at) => body.iter_mut().skip(at).take(1).for_each(|b| *b ^= 4),
        Trouble::Longer(by) => {
            let said = format!("Content-Length: {}", body.len());
            head = head.replace(&said, &format!("Content-Length: {}", body.len() + by));
        }
        Trouble::None | Trouble::Drip => {}
    }
    let _sent = stream.write_all(format!("{head}\r\n").as_bytes()).await;
    if trouble == Trouble::Drip {
        for byte in body {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    } else {
        let _sent = stream.write_all(&body).await;
    }
    let _closed = stream.shutdown().await;
}
