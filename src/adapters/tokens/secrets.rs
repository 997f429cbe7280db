//! Passwords and robots' secrets: argon2id hashes, and secrets drawn from the machine's randomness.

use std::fmt::Write;
use std::sync::Arc;

use argon2::password_hash::try_generate_salt;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::adapters::tokens::limits::{CHECKS_AT_ONCE, CHECKS_WAITING, SECRET_MAX};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::ports::desk::{Secrets, Strength};

/// Bytes of a salt that another program of ours has drawn: it draws so many.
const SALT_MIN: usize = 16;
/// Bytes of a hash, as argon2 makes them by itself.
const OUTPUT: usize = Params::DEFAULT_OUTPUT_LEN;

/// What an unknown name is checked against, so that it costs what a known one does. Nothing has these hashes' secrets.
struct Dummies {
    password: String,
    drawn: String,
}

/// Argon2id, with a bound on how much of the machine it takes.
pub struct Argon {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    dummies: Arc<Dummies>,
}

impl Argon {
    /// Ready to work. Takes as long as two hashes.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn new() -> Outcome<Argon> {
        let dummies = Dummies {
            password: hash(&random()?, Strength::Password)?,
            drawn: hash(&random()?, Strength::Drawn)?,
        };
        Ok(Argon {
            working: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: Arc::new(Semaphore::new(CHECKS_WAITING)),
            dummies: Arc::new(dummies),
        })
    }

    /// Does the work on a thread that may block, a few at a time.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Outcome<T> + Send + 'static,
    ) -> BoxFuture<'static, Outcome<T>> {
        let (working, waiting) = (self.working.clone(), self.waiting.clone());
        Box::pin(async move {
            let full =
                |_| Fault::new(Kind::Exhausted, "too many log in at once").hint("try again in a few seconds");
            let closed = |_| Fault::new(Kind::Bug, "checking of secrets has ended");
            let _place = waiting.try_acquire_owned().map_err(full)?;
            let turn = working.acquire_owned().await.map_err(closed)?;
            let done = tokio::task::spawn_blocking(move || {
                // The turn is the thread's: who gives up waiting does not let one more thread in.
                let _turn = turn;
                work()
            });
            done.await.map_err(|e| Fault::new(Kind::Bug, format!("checking a secret broke off: {e}")))?
        })
    }
}

/// The work that one guess costs: for passwords what OWASP's password storage cheat sheet asks for (19 MiB, 2 rounds).
/// What was drawn at random has 256 bits that nobody guesses, and is checked by every host of a pool at once.
fn argon(strength: Strength) -> Outcome<Argon2<'static>> {
    let params = match strength {
        Strength::Password => Params::default(),
        Strength::Drawn => Params::new(64, 1, 1, None)
            .map_err(|e| Fault::new(Kind::Bug, format!("the parameters of argon2 are wrong: {e}")))?,
    };
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(secret: &str, strength: Strength) -> Outcome<String> {
    if secret.len() > SECRET_MAX {
        return Err(Fault::new(Kind::Invalid, format!("a secret has at most {SECRET_MAX} bytes")));
    }
    let hashed = argon(strength)?.hash_password(secret.as_bytes());
    hashed
        .map(|h| h.to_string())
        .map_err(|e| Fault::new(Kind::Bug, format!("a secret cannot be hashed: {e}")))
}

/// Whether the hash of a password that somebody else has made is such as ours are. One that costs more would hold up all
/// log-ins (its own cost is what checking takes), one that costs less could be guessed, and one that cannot be read would
/// be a fault at each log-in.
pub(crate) fn is_as_ours(hash: &str) -> bool {
    let Ok(read) = PasswordHash::new(hash) else { return false };
    let salt = read.salt.as_ref().map_or(0, |salt| salt.len());
    let output = read.hash.map(|output| output.as_bytes().len());
    hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && salt >= SALT_MIN && output == Some(OUTPUT)
}

/// 256 bits of the machine's randomness in hexadecimal digits.
pub(crate) fn random() -> Outcome<String> {
    let mut out = String::with_capacity(64);
    for _half in 0..2 {
        let bytes: [u8; 16] = try_generate_salt()
            .map_err(|e| Fault::new(Kind::Refused, format!("the machine gives no randomness: {e}")))?;
        for byte in bytes {
            // (Writing to a string does not fail.)
            let _ = write!(out, "{byte:02x}");
        }
    }
    Ok(out)
}

impl Secrets for Argon {
    fn hash(&self, secret: String, strength: Strength) -> BoxFuture<'static, Outcome<String>> {
        self.work(move || hash(&secret, strength))
    }

    fn verify(
        &self,
        secret: String,
        hash: Option<String>,
        strength: Strength,
    ) -> BoxFuture<'static, Outcome<bool>> {
        let dummies = self.dummies.clone();
        self.work(move || {
            if secret.len() > SECRET_MAX {
                return Ok(false);
            }
            let dummy = match strength {
                Strength::Password => &dummies.password,
                Strength::Drawn => &dummies.drawn,
            };
            let is_known = hash.is_some();
            let kept = PasswordHash::new(hash.as_deref().unwrap_or(dummy))
                .map_err(|e| Fault::new(Kind::Invalid, format!("a hash that is kept cannot be read: {e}")))?;
            // The cost is what the hash itself says; the comparison takes the same time wherever they differ.
            let same = argon(strength)?.verify_password(secret.as_bytes(), &kept).is_ok();
            Ok(same && is_known)
        })
    }

    fn draw(&self) -> Outcome<String> {
        random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_known_by_its_hash_and_nothing_else_is() {
        let argon = Argon::new().unwrap();
        for strength in [Strength::Password, Strength::Drawn] {
            let hash = argon.hash("hunter2".into(), strength).await.unwrap();
            assert!(hash.starts_with("$argon2id$") && !hash.contains("hunter2"), "{hash}");
            let again = argon.hash("hunter2".into(), strength).await.unwrap();
            assert_ne!(hash, again, "each has a salt of its own");
            assert_eq!(is_as_ours(&hash), strength == Strength::Password, "{hash}");
            let verify =
                |secret: &str, hash: Option<&String>| argon.verify(secret.into(), hash.cloned(), strength);
            assert!(verify("hunter2", Some(&hash)).await.unwrap());
            assert!(!verify("hunter3", Some(&hash)).await.unwrap());
            assert!(!verify("", Some(&hash)).await.unwrap());
            assert!(!verify("hunter2", None).await.unwrap());
            assert!(!verify(&"x".repeat(SECRET_MAX + 1), Some(&hash)).await.unwrap());
        }
        let broken = argon.verify("x".into(), Some("$argon2id$".into()), Strength::Password).await;
        assert_eq!(broken.unwrap_err().kind, Kind::Invalid, "a broken hash is a fault, not a wrong password");
    }

    #[test]
    fn a_hash_from_elsewhere_is_taken_only_if_it_is_as_ours() {
        let (cost, salt) = ("$argon2id$v=19$m=19456,t=2,p=1", "c2FsdHNhbHRzYWx0c2FsdA");
        let output = "A".repeat(43);
        let good = format!("{cost}${salt}${output}");
        assert!(is_as_ours(&good), "{good}");
        for bad in [
            String::new(),
            "hunter2".into(),
            format!("{cost}$"),
            format!("{cost}${salt}"),
            format!("{cost}${salt}$"),
            format!("{cost}$ ${output}"),
            format!("{cost}$not base64!${output}"),
            format!("{cost}$c2FsdHNhbHQ${output}"),
            format!("{cost}${salt}$aGFzaGhhc2hoYXNo"),
            format!("{cost}${salt}${output}$more"),
            format!("{cost}${salt}${output}\n"),
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("m=19456", "m=64"),
            good.replace("m=19456", "m=4194304"),
            good.replace("t=2", "t=1"),
            good.replace("p=1", "p=1,keyid=AAAA"),
        ] {
            assert!(!is_as_ours(&bad), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_name_costs_what_a_known_one_does() {
        let argon = Argon::new().unwrap();
        let parts = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let kept = argon.hash("x".into(), Strength::Password).await.unwrap();
        assert_eq!(parts(&argon.dummies.password), parts(&kept), "the same algorithm and cost");
        let kept = argon.hash("x".into(), Strength::Drawn).await.unwrap();
        assert_eq!(parts(&argon.dummies.drawn), parts(&kept));
    }

    #[tokio::test]
    async fn too_many_at_once_are_told_to_come_again() {
        let argon = Argon::new().unwrap();
        let held =
            argon.working.clone().acquire_many_owned(u32::try_from(CHECKS_AT_ONCE).unwrap()).await.unwrap();
        let mut waiting: Vec<_> =
            (0..CHECKS_WAITING).map(|_| argon.verify("x".into(), None, Strength::Drawn)).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        let refused = argon.verify("x".into(), None, Strength::Drawn).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Exhausted);
        drop(held);
        for one in waiting {
            assert!(!one.await.unwrap());
        }
    }

    #[test]
    fn drawn_secrets_are_long_and_differ() {
        let (a, b) = (random().unwrap(), random().unwrap());
        assert!(a.len() == 64 && a != b);
    }
}
