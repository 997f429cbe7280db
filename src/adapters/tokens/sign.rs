//! Tokens as Distribution 2.8 and 3 want them (its specification of authentication by token): a JWT with the access in it.

use jsonwebtoken::{Algorithm, Header, encode};
use serde::Serialize;

use crate::adapters::tokens::keys::SigningKey;
use crate::adapters::tokens::limits::TOKEN_MS;
use crate::adapters::tokens::secrets::random;
use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::access::Subject;
use crate::model::access::scope::{Granted, Scope};

/// A token and until when it is valid.
pub struct Token {
    /// What the registry is shown.
    pub text: String,
    /// When it was made.
    pub issued: Millis,
    /// For how many seconds it is valid.
    pub seconds: u64,
}

/// Makes tokens.
pub struct Signer {
    key: SigningKey,
    issuer: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: &'a [Scope],
}

impl Signer {
    /// Signs in the name of this issuer (`auth.token.issuer` of the registries).
    pub fn new(key: SigningKey, issuer: &str) -> Signer {
        Signer { key, issuer: issuer.to_owned() }
    }

    /// A token for the service of this name with what is granted.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, subject: &Subject, service: &str, granted: &Granted, now: Millis) -> Outcome<Token> {
        // The key is named by the whole certificate: Distribution 2.8 and 3 both check that against their bundle, while the
        // forms of `kid` that they know differ.
        let header =
            Header { x5c: Some(vec![self.key.certificate.clone()]), ..Header::new(Algorithm::ES256) };
        let whole = |at: Millis| at.0.div_euclid(1000);
        let end = granted.until.unwrap_or(Millis(i64::MAX)).min(now.plus(TOKEN_MS));
        let claims = Claims {
            iss: &self.issuer,
            sub: subject.to_string(),
            aud: service,
            exp: whole(end),
            nbf: whole(now),
            iat: whole(now),
            jti: random()?,
            access: &granted.scopes,
        };
        let text = encode(&header, &claims, &self.key.key)
            .map_err(|e| Fault::new(Kind::Bug, format!("a token cannot be signed: {e}")))?;
        Ok(Token { text, issued: now, seconds: end.since(now) / 1000 })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn part(token: &str, n: usize) -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_what_registries_look_for() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::new(SigningKey::open(dir.path()).unwrap(), "longshore-1");
        let subject: Subject = "robot$feed+ci".parse().unwrap();
        let scopes = Scope::list("repository:feed/web:pull,push").unwrap();
        let mut granted = Granted { scopes, ..Granted::default() };
        let now = Millis(1_700_000_000_500);
        let token = signer.token(&subject, "hub", &granted, now).unwrap();
        let (header, claims) = (part(&token.text, 0), part(&token.text, 1));
        assert_eq!((&header["alg"], &header["typ"]), (&"ES256".into(), &"JWT".into()));
        assert_eq!(header["x5c"].as_array().unwrap().len(), 1);
        assert_eq!((&claims["iss"], &claims["aud"]), (&"longshore-1".into(), &"hub".into()));
        assert_eq!(claims["sub"], "robot$feed+ci");
        assert_eq!((&claims["iat"], &claims["nbf"]), (&1_700_000_000.into(), &1_700_000_000.into()));
        assert_eq!(claims["exp"], 1_700_000_300);
        let access =
            serde_json::json!([{"type": "repository", "name": "feed/web", "actions": ["pull", "push"]}]);
        assert_eq!(claims["access"], access);
        assert_eq!(token.seconds, 300);
        granted.until = Some(Millis(now.0 + 10_000));
        let short = signer.token(&subject, "hub", &granted, now).unwrap();
        assert_eq!((short.seconds, &part(&short.text, 1)["exp"]), (10, &1_700_000_010.into()));
        assert_ne!(part(&short.text, 1)["jti"], claims["jti"]);
    }
}
