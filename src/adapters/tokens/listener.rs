//! The listener of the token service: plain on this machine, TLS elsewhere, with a bound on everything that comes in.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::adapters::tokens::counts::Counts;
use crate::adapters::tokens::guard::{Guard, network};
use crate::adapters::tokens::limits::{Limits, TOLD_MAX};
use crate::adapters::tokens::routes::Service;
use crate::adapters::tokens::sign::Signer;
use crate::adapters::tokens::tls::{Tls, TlsFiles};
use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::sha256;
use crate::model::journal::{Draft, What};
use crate::ports::desk::Desk;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// With TLS; without, only this machine's own addresses are listened on.
    pub tls: Option<TlsFiles>,
    /// Something in front ends TLS, and says from these addresses who asks; so plain HTTP is allowed on every address.
    pub proxies: Option<Vec<IpAddr>>,
    /// The secret that registries report with; none refuses all reports.
    pub events_secret: Option<String>,
    /// The bounds.
    pub limits: Limits,
}

/// What the listener needs of others.
pub struct Parts {
    /// Who decides.
    pub desk: Arc<dyn Desk>,
    /// What signs.
    pub signer: Signer,
    /// Where stamps come from.
    pub clock: SharedClock,
    /// Where failed log-ins are told, a few lines a minute; when it is full they are told later.
    pub journal: mpsc::Sender<Draft>,
}

/// An open listener, which answers as long as [`Listener::serve`] runs.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    service: Arc<Service>,
    journal: mpsc::Sender<Draft>,
}

impl Listener {
    /// Opens it.
    ///
    /// # Errors
    /// When the address is taken, a file cannot be read, or passwords would cross a network in the clear.
    pub async fn open(listen: Listen, parts: Parts) -> Outcome<Listener> {
        let Listen { address, tls, proxies, events_secret, limits } = listen;
        if tls.is_none() && proxies.is_none() && !address.ip().is_loopback() {
            let why = format!("passwords would reach {address} unencrypted");
            return Err(Fault::new(Kind::Refused, why).hint(
                "give a certificate and a key, listen on 127.0.0.1, or say that something in front ends TLS",
            ));
        }
        let tls = tls.as_ref().map(Tls::open).transpose()?;
        let fail = |e: std::io::Error| {
            Fault::new(Kind::Refused, format!("cannot listen for registries' log-ins on {address}: {e}"))
        };
        let socket = TcpListener::bind(address).await.map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        let service = Service {
            desk: parts.desk,
            signer: parts.signer,
            clock: parts.clock,
            counts: Arc::default(),
            guard: Mutex::new(Guard::new(limits.clone())),
            proxies,
            events_secret: events_secret.filter(|s| !s.is_empty()).map(|s| sha256(s.as_bytes())),
            limits,
        };
        Ok(Listener { socket, address, tls, service: Arc::new(service), journal: parts.journal })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done.
    pub fn counts(&self) -> Arc<Counts> {
        self.service.counts.clone()
    }

    /// Answers until it is dropped; what is under way then is cut.
    pub async fn serve(mut self) {
        let places = Arc::new(Semaphore::new(self.service.limits.connections));
        let crowd = Arc::new(Crowd::default());
        let mut connections = JoinSet::new();
        let mut telling = tokio::time::interval(self.service.limits.journal_every);
        loop {
            tokio::select! {
                accepted = accept(&self.socket, &places) => {
                    let Some((stream, from, place)) = accepted else { continue };
                    let Some(one) = self.admit(&crowd, from) else { continue };
                    let (tls, service) = (self.tls.as_ref().map(Tls::acceptor), self.service.clone());
                    connections.spawn(async move {
                        let _places = (place, one);
                        connection(stream, from, tls, service).await;
                    });
                }
                _ = telling.tick() => {
                    // (A few small files, once a minute.)
                    let renewed = self.tls.as_mut().and_then(Tls::renew);
                    renewed.map(|line| self.journal.try_send(line).ok());
                    self.tell();
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// A place among those of its address; none when that has enough. Behind a proxy all come from there.
    fn admit(&self, crowd: &Arc<Crowd>, from: IpAddr) -> Option<Option<OneOfCrowd>> {
        if self.service.proxies.is_some() {
            return Some(None);
        }
        let one = crowd.join(network(from), self.service.limits.connections_of_address);
        if one.is_none() {
            self.guard().crowded(from);
        }
        one.map(Some)
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.service.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the journal of failed log-ins, if it has room for what there is.
    fn tell(&self) {
        let Ok(places) = self.journal.try_reserve_many(TOLD_MAX) else {
            return;
        };
        let lines = self.guard().told();
        for (place, line) in places.zip(lines) {
            place.send(Draft::engine(What::Refused, line));
        }
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Crowd(Mutex<HashMap<IpAddr, usize>>);

impl Crowd {
    /// One more from there, unless that would be more than so many.
    fn join(self: &Arc<Crowd>, network: IpAddr, most: usize) -> Option<OneOfCrowd> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(OneOfCrowd { crowd: self.clone(), network })
    }
}

/// One connection of those that its address has, until it is dropped.
struct OneOfCrowd {
    crowd: Arc<Crowd>,
    network: IpAddr,
}

impl Drop for OneOfCrowd {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, from)) => Some((stream, from.ip(), place)),
        Err(_) => {
            // Out of descriptors, most likely: those that are connected go on.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, from: IpAddr, tls: Option<TlsAcceptor>, service: Arc<Service>) {
    let limits = service.limits.clone();
    let Some(tls) = tls else {
        return talk(stream, from, service).await;
    };
    if let Ok(Ok(stream)) = tokio::time::timeout(limits.headers, tls.accept(stream)).await {
        talk(stream, from, service).await;
    }
}

/// Serves one connection until its time is over.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: IpAddr,
    service: Arc<Service>,
) {
    let limits = service.limits.clone();
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, std::convert::Infallible>(service.answer(from, request).await) }
    });
    let mut builder = http1::Builder::new();
    // (hyper wants at least 8 KiB.)
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(limits.header_bytes.max(8192));
    let talk = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(talk);
    tokio::select! {
        _ended = talk.as_mut() => return,
        () = tokio::time::sleep(limits.connection) => talk.as_mut().graceful_shutdown(),
    }
    // What is under way may end.
    let _ended = tokio::time::timeout(limits.request, talk).await;
}

#[cfg(test)]
mod tests;
