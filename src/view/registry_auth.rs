//! The part of a registry's configuration that makes it ask our token service who may do what, ready to be pasted.

use std::fmt::Write;

/// What the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// The registry's name here.
    pub registry: String,
    /// Where its clients reach the token service, such as `https://longshore.example.com:5443`.
    pub base: String,
    /// How the registry calls itself to the token service.
    pub service: String,
    /// In whose name tokens are signed.
    pub issuer: String,
    /// The path of the certificate, as the registry sees it.
    pub certificate: String,
    /// The secret that it reports with; none leaves the reports out.
    pub events_secret: Option<String>,
}

/// The `auth` and `notifications` sections of Distribution's configuration file, 2.8 and 3.
pub fn auth_config(of: &AuthConfig) -> String {
    let base = of.base.trim_end_matches('/');
    let mut out = String::new();
    // (Writing to a string does not fail.)
    let _ = write!(
        out,
        "auth:\n  token:\n    realm: {}\n    service: {}\n    issuer: {}\n    rootcertbundle: {}\n",
        quoted(&format!("{base}/token")),
        quoted(&of.service),
        quoted(&of.issuer),
        quoted(&of.certificate),
    );
    if let Some(secret) = &of.events_secret {
        let _ = write!(
            out,
            "notifications:\n  endpoints:\n    - name: longshore\n      url: {}\n      headers:\n        \
             Authorization: [{}]\n      timeout: 5s\n      threshold: 3\n      backoff: 5s\n      \
             ignore:\n        mediatypes: [application/octet-stream]\n        actions: [pull]\n",
            quoted(&format!("{base}/events/{}", of.registry)),
            quoted(&format!("Bearer {secret}")),
        );
    }
    out
}

/// A YAML scalar in double quotes, which are JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn north(events_secret: Option<&str>) -> AuthConfig {
        AuthConfig {
            registry: "north".into(),
            base: "https://longshore.example.com:5443/".into(),
            service: "north".into(),
            issuer: "longshore \"1\"".into(),
            certificate: "/etc/docker/registry/longshore.pem".into(),
            events_secret: events_secret.map(str::to_owned),
        }
    }

    #[test]
    fn the_configuration_names_every_part() {
        let text = auth_config(&north(Some("s3cret")));
        for line in [
            "    realm: \"https://longshore.example.com:5443/token\"",
            "    service: \"north\"",
            "    issuer: \"longshore \\\"1\\\"\"",
            "    rootcertbundle: \"/etc/docker/registry/longshore.pem\"",
            "      url: \"https://longshore.example.com:5443/events/north\"",
            "        Authorization: [\"Bearer s3cret\"]",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
        }
        assert!(!auth_config(&north(None)).contains("notifications"));
    }
}
