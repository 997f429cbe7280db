//! Where calls go: the endpoints of a registry as origins, and which other places may be followed or trusted.

use std::net::IpAddr;

use reqwest::Url;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::registry::Registry;

/// The scheme, host and port of a URL: what credentials are bound to.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// `HOST[:PORT]` of a URL, for sentences.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// True when the URL names this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || ip_of(url).is_some_and(|ip| ip.is_loopback())
}

fn ip_of(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// An address that only means something inside of a network or machine.
fn is_private(url: &Url) -> bool {
    match ip_of(url) {
        Some(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Some(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || (ip.segments()[0] & 0xfe00) == 0xfc00
                || (ip.segments()[0] & 0xffc0) == 0xfe80
        }
        None => is_loopback(url),
    }
}

/// The base URL of `HOST[:PORT]`. Loopback speaks plain HTTP unless an authority for it is named.
fn base(address: &str, registry: &Registry) -> Outcome<Url> {
    let bad = |why: &str| {
        Fault::new(Kind::Invalid, why)
            .because(format!("{address:?} is not the address of a registry"))
            .hint("an address is HOST or HOST:PORT")
    };
    if address.is_empty()
        || address.contains(['/', '@', '?', '#', '\\'])
        || address.contains(char::is_whitespace)
    {
        return Err(bad("it holds what a host name cannot"));
    }
    // Docker's own registry answers under another name than its images carry.
    let host = if address == "docker.io" { "registry-1.docker.io" } else { address };
    let mut url = Url::parse(&format!("https://{host}/")).map_err(|why| bad(&why.to_string()))?;
    if registry.plain_http || (is_loopback(&url) && registry.ca.is_none()) {
        url = Url::parse(&format!("http://{host}/")).map_err(|why| bad(&why.to_string()))?;
    }
    Ok(url)
}

/// The endpoints of one registry.
#[derive(Debug)]
pub(super) struct Origins {
    /// What the calls go to, in order.
    pub endpoints: Vec<Url>,
    /// The address that stands before them.
    address: Url,
}

impl Origins {
    /// Reads the addresses of a registry.
    pub fn of(registry: &Registry) -> Outcome<Origins> {
        let endpoints = registry.addresses().map(|a| base(a, registry)).collect::<Outcome<Vec<_>>>()?;
        Ok(Origins { endpoints, address: base(&registry.address, registry)? })
    }

    /// True when the registry itself lives there: under its address or as one of its endpoints.
    pub fn is_own(&self, url: &Url) -> bool {
        self.endpoints.iter().chain([&self.address]).any(|own| same_origin(own, url))
    }

    /// The path and query of a next page, from a `Link` that was served at `at`. Pages elsewhere are not followed.
    pub fn next_page(&self, at: &Url, link: &str) -> Outcome<String> {
        let wrong =
            |why: &str| Fault::new(Kind::Invalid, why).because("the registry's next page cannot be followed");
        let url = at.join(link).map_err(|why| wrong(&why.to_string()))?;
        if !self.is_own(&url) {
            return Err(wrong(&format!("it is said to be at {}", host_of(&url))));
        }
        let query = url.query().map_or_else(String::new, |q| format!("?{q}"));
        Ok(format!("{}{query}", url.path()))
    }

    /// Where an upload that began at `at` goes on. True when it stays with the registry and may carry credentials.
    ///
    /// A place under the registry's address or another endpoint is moved to the endpoint where the upload began: only that
    /// one is sure to know of it.
    pub fn upload(&self, endpoint: &Url, at: &Url, location: &str) -> Outcome<(Url, bool)> {
        let wrong = |why: String| {
            Fault::new(Kind::Refused, why).because("the upload cannot go on where the registry says")
        };
        let mut url = at.join(location).map_err(|why| wrong(why.to_string()))?;
        if self.is_own(&url) {
            let mut moved = endpoint.clone();
            moved.set_path(url.path());
            moved.set_query(url.query());
            return Ok((moved, true));
        }
        url.set_fragment(None);
        // A password in the URL would be sent on as a login.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(format!("the address at {} holds a login", host_of(&url))));
        }
        let inside = || format!("{} is an address inside of a private network", host_of(&url));
        let is_inside = is_private(&url) && !is_private(endpoint) && url.host_str() != endpoint.host_str();
        let checked = check_hop(endpoint, &url).and_then(|()| if is_inside { Err(inside()) } else { Ok(()) });
        checked.map_err(|why| {
            wrong(why)
                .hint("let the registry know the address that its clients use (http.host, X-Forwarded-Proto)")
        })?;
        Ok((url, false))
    }

    /// Whether a login may be shown to a token service there.
    pub fn may_ask(&self, realm: &Url) -> bool {
        let plain = |url: &Url| url.scheme() == "http";
        match realm.scheme() {
            "https" => true,
            // Without TLS only where the registry itself has none, and not out of this machine for a registry inside it.
            "http" => {
                self.endpoints.iter().all(plain)
                    && (is_loopback(realm) || !self.endpoints.iter().all(is_loopback))
            }
            _ => false,
        }
    }
}

/// Whether another host may be gone to on the word of this one; why not, in words.
pub(super) fn check_hop(from: &Url, to: &Url) -> Result<(), String> {
    match to.scheme() {
        "https" => Ok(()),
        "http" if from.scheme() == "http" => Ok(()),
        "http" => Err(format!("{} would be asked without TLS", host_of(to))),
        other => Err(format!("{other:?} is no way to ask for it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(json: &str) -> Registry {
        serde_json::from_str(json).unwrap()
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_loopback_is_plain_without_being_told() {
        for (json, wanted) in [
            (r#"{"name":"a","address":"r.example"}"#, "https://r.example/"),
            (r#"{"name":"a","address":"r.example:5000","plain_http":true}"#, "http://r.example:5000/"),
            (r#"{"name":"a","address":"127.0.0.1:5000"}"#, "http://127.0.0.1:5000/"),
            (r#"{"name":"a","address":"localhost:5000","ca":"/ca.pem"}"#, "https://localhost:5000/"),
            (r#"{"name":"a","address":"docker.io"}"#, "https://registry-1.docker.io/"),
        ] {
            assert_eq!(Origins::of(&registry(json)).unwrap().endpoints, [url(wanted)], "{json}");
        }
        for bad in ["", "http://x", "a/b", "a@b", "a b", "a:x"] {
            assert!(
                Origins::of(&registry(&format!(r#"{{"name":"a","address":"{bad}"}}"#))).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn uploads_stay_where_they_began_and_credentials_at_home() {
        let two = registry(r#"{"name":"a","address":"r.example","endpoints":["r1.example","r2.example"]}"#);
        let own = Origins::of(&two).unwrap();
        let (began, at) = (url("https://r2.example/"), url("https://r2.example/v2/a/blobs/uploads/"));
        for location in
            ["/v2/a/u?s=%3D1", "https://r.example/v2/a/u?s=%3D1", "https://r1.example/v2/a/u?s=%3D1"]
        {
            let went = own.upload(&began, &at, location).unwrap();
            assert_eq!(went, (url("https://r2.example/v2/a/u?s=%3D1"), true), "{location}");
        }
        let elsewhere = own.upload(&began, &at, "https://store.example/u?k=1").unwrap();
        assert_eq!(elsewhere, (url("https://store.example/u?k=1"), false));
        for bad in [
            "http://store.example/u",
            "https://10.0.0.1/u",
            "https://[::1]/u",
            "ftp://r2.example/",
            "https://me:x@s.example/",
        ] {
            assert!(own.upload(&began, &at, bad).is_err(), "{bad}");
        }
        assert!(
            own.may_ask(&url("https://auth.example/token"))
                && !own.may_ask(&url("http://auth.example/token"))
        );
    }

    #[test]
    fn a_login_leaves_in_the_clear_only_where_the_registry_is_plain() {
        let near = Origins::of(&registry(r#"{"name":"a","address":"127.0.0.1:5000"}"#)).unwrap();
        assert!(
            near.may_ask(&url("http://127.0.0.1:9/token")) && !near.may_ask(&url("http://10.1.1.1/token"))
        );
        let plain = registry(r#"{"name":"a","address":"10.1.1.2:5000","plain_http":true}"#);
        assert!(Origins::of(&plain).unwrap().may_ask(&url("http://10.1.1.1/token")));
    }

    #[test]
    fn pages_are_followed_at_home_only() {
        let own = Origins::of(&registry(r#"{"name":"a","address":"r.example"}"#)).unwrap();
        let at = url("https://r.example/v2/_catalog?n=2");
        assert_eq!(own.next_page(&at, "/v2/_catalog?last=b&n=2").unwrap(), "/v2/_catalog?last=b&n=2");
        assert_eq!(
            own.next_page(&at, "https://r.example/v2/_catalog?last=b").unwrap(),
            "/v2/_catalog?last=b"
        );
        assert!(own.next_page(&at, "https://evil.example/v2/_catalog").is_err());
        assert!(own.next_page(&at, "http://r.example/v2/_catalog").is_err());
    }
}
