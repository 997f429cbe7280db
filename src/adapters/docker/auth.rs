//! The login that an engine is given for a pull: the value of its `X-Registry-Auth` header.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::json;

use crate::adapters::credentials::{Credentials, Keyring};
use crate::base::fault::Outcome;

/// The value of `X-Registry-Auth` for a registry; `None` for an anonymous pull.
pub(super) async fn header(keyring: &Keyring, registry: &str) -> Outcome<Option<String>> {
    let encode = |value: serde_json::Value| URL_SAFE.encode(value.to_string());
    Ok(keyring.find(registry).await?.map(|found| match found {
        Credentials::IdentityToken(token) => {
            encode(json!({ "identitytoken": token, "serveraddress": registry }))
        }
        Credentials::Password { username, secret } => {
            encode(json!({ "username": username, "password": secret, "serveraddress": registry }))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_login_names_its_registry() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"{"auths":{"r.example:5000":{"auth":"bWU6YTpi"},"t":{"identitytoken":"i"}}}"#;
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let keyring = Keyring { config_dir: Some(dir.path().to_owned()) };
        let said = async |registry| {
            let found = header(&keyring, registry).await.unwrap();
            found.map(|h| String::from_utf8(URL_SAFE.decode(h).unwrap()).unwrap())
        };
        let password = r#"{"password":"a:b","serveraddress":"r.example:5000","username":"me"}"#;
        assert_eq!(said("r.example:5000").await.as_deref(), Some(password));
        assert_eq!(said("t").await.as_deref(), Some(r#"{"identitytoken":"i","serveraddress":"t"}"#));
        assert_eq!(said("r.example").await, None);
    }
}
