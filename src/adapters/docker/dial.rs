//! Opens connections to an engine: a socket, a port, a port with TLS, or a socket behind ssh.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::adapters::docker::address::Address;
use crate::adapters::docker::limits::DIAL;
use crate::adapters::docker::ssh::Tunnel;
use crate::base::fault::{Fault, Kind, Outcome};

/// How to reach one engine. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Route>);

enum Route {
    Unix(std::path::PathBuf),
    Tcp { host: String, port: u16, tls: Option<TlsConnector> },
    Ssh(Tunnel),
}

impl Dialer {
    /// A way to `address`; nothing is opened yet.
    pub(super) fn new(
        address: Address,
        tls: Option<TlsConnector>,
        ssh: impl FnOnce(Option<String>, String, Option<u16>, String) -> Tunnel,
    ) -> Dialer {
        Dialer(Arc::new(match address {
            Address::Unix(path) => Route::Unix(path),
            Address::Tcp { host, port } => Route::Tcp { host, port, tls },
            Address::Ssh { user, host, port, socket } => Route::Ssh(ssh(user, host, port, socket)),
        }))
    }

    /// True when the engine may be on this machine.
    pub(super) fn is_local(&self) -> bool {
        matches!(*self.0, Route::Unix(_))
    }

    /// What the way itself last complained about (ssh's own words).
    pub(super) fn complaint(&self) -> Option<String> {
        match &*self.0 {
            Route::Ssh(tunnel) => tunnel.complaint(),
            Route::Unix(_) | Route::Tcp { .. } => None,
        }
    }

    async fn dial(&self) -> Outcome<Pipe> {
        match &*self.0 {
            Route::Unix(path) => {
                let stream = in_time(UnixStream::connect(path)).await.map_err(|why| {
                    let fault = cannot_reach(&format!("the socket {}", path.display()), &why);
                    match why.kind() {
                        io::ErrorKind::NotFound => fault.hint("is the engine running on this machine?"),
                        io::ErrorKind::PermissionDenied => {
                            fault.hint("the group of the socket (often `docker`) may use it")
                        }
                        _ => fault,
                    }
                })?;
                Ok(Pipe::new(stream))
            }
            Route::Tcp { host, port, tls } => {
                let stream = in_time(TcpStream::connect((host.as_str(), *port)))
                    .await
                    .map_err(|why| cannot_reach(&format!("{host} port {port}"), &why))?;
                stream.set_nodelay(true).map_err(|why| cannot_reach(host, &why))?;
                let Some(tls) = tls else { return Ok(Pipe::new(stream)) };
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| Fault::new(Kind::Invalid, format!("{host:?} cannot be checked by TLS")))?;
                let stream = in_time(tls.connect(name, stream)).await.map_err(|why| {
                    Fault::new(Kind::Unreachable, why.to_string())
                        .because(format!("TLS with {host} port {port} failed"))
                        .hint("check ca.pem, cert.pem and key.pem, and this machine's clock")
                })?;
                Ok(Pipe::new(stream))
            }
            Route::Ssh(tunnel) => tunnel.connect().await.map(Pipe::new),
        }
    }
}

async fn in_time<T>(opening: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(DIAL, opening).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", DIAL.as_secs())))
        }
    }
}

fn cannot_reach(what: &str, why: &io::Error) -> Fault {
    // The number of the system's error says nothing to a reader.
    let text = why.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    Fault::new(Kind::Unreachable, text).because(format!("cannot reach {what}"))
}

impl tower_service::Service<Uri> for Dialer {
    type Response = Pipe;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Outcome<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Outcome<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection of any kind.
pub(super) struct Pipe(TokioIo<Box<dyn Duplex>>);

impl Pipe {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Pipe {
        Pipe(TokioIo::new(Box::new(stream)))
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
