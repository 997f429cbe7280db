//! The token service of the configuration: opened for the engine, and asked by the engine itself for tokens of its own.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OnceCell, mpsc};

use crate::adapters::tokens::counts::{Counted, Counts};
use crate::adapters::tokens::keys::{SigningKey, certificate_path, make_reports_secret, reports_secret};
use crate::adapters::tokens::limits::Limits;
use crate::adapters::tokens::listener::{Listen, Listener, Parts};
use crate::adapters::tokens::secrets::Argon;
use crate::adapters::tokens::sign::Signer;
use crate::adapters::tokens::tls::TlsFiles;
use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::cli::RegistryAuth;
use crate::engine::access::service::TokenService;
use crate::model::access::scope::Scope;
use crate::model::access::view::ServiceCounts;
use crate::model::access::{Access, ENGINE, Subject};
use crate::model::journal::Draft;
use crate::plan::access::grant;
use crate::ports::desk::{Desk, OwnTokens, Secrets, Strength};

/// What the configuration says about the token service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where registries' clients reach it.
    pub url: String,
    /// Certificate and key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Something in front of it ends TLS, and its requests come from these addresses.
    pub proxies: Option<Vec<IpAddr>>,
    /// In whose name tokens are signed.
    pub issuer: String,
}

/// The token service of a state directory.
pub struct Tokens {
    settings: TokenSettings,
    state: PathBuf,
    clock: SharedClock,
    argon: OnceCell<Arc<Argon>>,
    signer: OnceLock<Signer>,
    /// Of the listener that is open.
    counts: Mutex<Arc<Counts>>,
}

/// What checks and makes hashes. Making it takes as long as two hashes: on a thread that may block.
pub async fn argon() -> Outcome<Arc<Argon>> {
    let made = tokio::task::spawn_blocking(Argon::new).await;
    made.unwrap_or_else(|e| Err(Fault::new(Kind::Bug, format!("hashing cannot begin: {e}")))).map(Arc::new)
}

/// The hash of a password that a person chose.
pub async fn hash(password: String) -> Outcome<String> {
    argon().await?.hash(password, Strength::Password).await
}

/// A new secret and its hash.
pub async fn draw() -> Outcome<(String, String)> {
    let argon = argon().await?;
    let secret = argon.draw()?;
    let hash = argon.hash(secret.clone(), Strength::Drawn).await?;
    Ok((secret, hash))
}

/// What a registry has to be told so that it asks this token service.
///
/// # Errors
/// When the key has not been made yet, or its files cannot be read.
pub fn registry_auth(settings: &TokenSettings, state: &std::path::Path) -> Outcome<RegistryAuth> {
    let not_yet = || {
        Fault::new(Kind::NotFound, "the token service has not been started yet: it has no certificate")
            .hint("start the console or `longshore engine` once with this configuration and state directory")
    };
    let events_secret = reports_secret(state)?.ok_or_else(not_yet)?;
    let certificate = certificate_path(state);
    let pem = std::fs::read_to_string(&certificate)
        .map_err(|e| Fault::new(Kind::Refused, format!("{}: {e}", certificate.display())))?;
    let (url, issuer) = (settings.url.clone(), settings.issuer.clone());
    Ok(RegistryAuth { url, issuer, certificate, pem, events_secret })
}

impl Tokens {
    /// Nothing is opened yet.
    pub fn new(settings: TokenSettings, state: PathBuf, clock: SharedClock) -> Tokens {
        Tokens {
            settings,
            state,
            clock,
            argon: OnceCell::new(),
            signer: OnceLock::new(),
            counts: Mutex::default(),
        }
    }

    /// The key as it was made by whoever opened the service first.
    fn signer(&self) -> Outcome<Option<&Signer>> {
        if self.signer.get().is_none()
            && let Some(key) = SigningKey::read(&self.state)?
        {
            // Another task may have been quicker: it has read the same key.
            drop(self.signer.set(Signer::new(key, &self.settings.issuer)));
        }
        Ok(self.signer.get())
    }
}

impl TokenService for Tokens {
    fn url(&self) -> String {
        self.settings.url.clone()
    }

    fn counts(&self) -> ServiceCounts {
        let counted = self.counts.lock().unwrap_or_else(PoisonError::into_inner).read();
        let Counted { tokens, denied, failed, throttled, .. } = counted;
        ServiceCounts { tokens, denied, failed, throttled }
    }

    fn secrets(&self) -> BoxFuture<'_, Outcome<Arc<dyn Secrets>>> {
        async move {
            let argon = self.argon.get_or_try_init(argon).await?;
            Ok(Arc::clone(argon) as Arc<dyn Secrets>)
        }
        .boxed()
    }

    fn open(
        &self,
        desk: Arc<dyn Desk>,
        journal: mpsc::Sender<Draft>,
    ) -> BoxFuture<'_, Outcome<BoxFuture<'static, ()>>> {
        async move {
            let signer = Signer::new(SigningKey::open(&self.state)?, &self.settings.issuer);
            let events_secret = Some(make_reports_secret(&self.state)?);
            let files = |(certificate, key): &(PathBuf, PathBuf)| TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            };
            let listen = Listen {
                address: self.settings.listen,
                tls: self.settings.tls.as_ref().map(files),
                proxies: self.settings.proxies.clone(),
                events_secret,
                limits: Limits::default(),
            };
            let parts = Parts { desk, signer, clock: self.clock.clone(), journal };
            let listener = Listener::open(listen, parts).await?;
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = listener.counts();
            Ok(listener.serve().boxed())
        }
        .boxed()
    }
}

/// Tokens that the engine gives itself for one registry: to no other, and only where that one asks our token service.
pub struct ForEngine {
    /// The token service.
    pub tokens: Arc<Tokens>,
    /// The registry.
    pub registry: RegistryName,
}

impl OwnTokens for ForEngine {
    fn give(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Outcome<Option<(String, Duration)>> {
        let ours = realm.strip_prefix(&self.tokens.settings.url) == Some("/token");
        // A token for another registry would be of use to whoever answers at this one's address.
        if !ours || service != Some(self.registry.as_str()) {
            return Ok(None);
        }
        let Some(signer) = self.tokens.signer()? else { return Ok(None) };
        let now = self.tokens.clock.now();
        let subject = Subject::Operator(ENGINE.to_owned());
        let granted = grant(&Access::default(), &subject, &Scope::list(&scopes.join(" "))?, now);
        let token = signer.token(&subject, self.registry.as_str(), &granted, now)?;
        Ok(Some((token.text, Duration::from_secs(token.seconds))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    #[test]
    fn the_engine_gives_itself_tokens_for_the_registry_that_it_asks_and_for_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let settings = TokenSettings {
            listen: "127.0.0.1:5443".parse().unwrap(),
            url: "http://127.0.0.1:5443".into(),
            tls: None,
            proxies: None,
            issuer: "longshore".into(),
        };
        let tokens = Arc::new(Tokens::new(settings, dir.path().to_owned(), Arc::new(SystemClock)));
        let own = ForEngine { tokens, registry: "north".parse().unwrap() };
        let scopes = ["repository:feed/web:pull,push".to_owned()];
        let give = |realm: &str, service: &str| own.give(realm, Some(service), &scopes).unwrap();
        let realm = "http://127.0.0.1:5443/token";
        assert_eq!(give(realm, "north"), None, "there is no key yet");
        SigningKey::open(dir.path()).unwrap();
        let (token, life) = give(realm, "north").unwrap();
        assert!(token.split('.').count() == 3 && life == Duration::from_secs(300));
        for (realm, service) in [
            (realm, "south"),
            ("http://127.0.0.1:5443.evil.example/token", "north"),
            ("http://127.0.0.1:5443/token/x", "north"),
            ("https://elsewhere.example/token", "north"),
        ] {
            assert_eq!(give(realm, service), None, "{realm} {service}");
        }
        assert_eq!(own.give(realm, None, &scopes).unwrap(), None);
    }
}
