//! The configuration file: hosts, and how the console looks. Everything in it has a default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::HostId;
use crate::model::host::{HostConfig, HostSource};
use crate::wire::tokens::TokenSettings;

/// Largest configuration file that is read.
const SIZE_MAX: u64 = 1 << 20;

/// What the file `config.toml` says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Engines by name.
    pub hosts: Vec<HostConfig>,
    /// Also the engine of this machine (or of the Docker CLI's context). Default: only when no host is configured.
    pub local: Option<bool>,
    /// Plain TCP is allowed beyond this machine.
    pub allow_plain_tcp: bool,
    /// Theme by name or file.
    pub theme: Option<String>,
    /// The name in the console's header.
    pub environment: Option<String>,
    /// The token service for registries.
    pub tokens: Option<TokenSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[derive(Default)]
struct File {
    local: Option<bool>,
    allow_plain_tcp: bool,
    theme: Option<String>,
    environment: Option<String>,
    hosts: Vec<FileHost>,
    token_service: Option<FileTokens>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileTokens {
    listen: SocketAddr,
    url: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    behind_tls: bool,
    proxies: Option<Vec<IpAddr>>,
    issuer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileHost {
    name: HostId,
    address: String,
    tls_dir: Option<PathBuf>,
}

impl Config {
    /// Where the file is: `LONGSHORE_CONFIG`, else the platform's place for configuration.
    pub fn path() -> Option<PathBuf> {
        let named = std::env::var_os("LONGSHORE_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from);
        named.or_else(|| {
            directories::ProjectDirs::from("", "", "longshore")
                .map(|dirs| dirs.config_dir().join("config.toml"))
        })
    }

    /// Reads the file; the defaults when there is none.
    ///
    /// # Errors
    /// When it cannot be read or understood: with file, line and what was expected.
    pub fn load() -> Outcome<Config> {
        match Config::path() {
            Some(path) if path.exists() => Config::read(&path),
            _ => Ok(Config::default()),
        }
    }

    fn read(path: &Path) -> Outcome<Config> {
        let fail = |why: String| {
            Fault::new(Kind::Invalid, format!("the configuration {} cannot be read: {why}", path.display()))
                .hint("mend the file, or name another with LONGSHORE_CONFIG")
        };
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > SIZE_MAX {
            return Err(fail(format!("it has {size} bytes, at most {SIZE_MAX} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        Config::parse(&path.display().to_string(), &text)
    }

    /// Reads the file's text.
    pub fn parse(name: &str, text: &str) -> Outcome<Config> {
        let file: File = toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or(text);
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.rsplit('\n').next().map_or(0, |l| l.chars().count());
            Fault::new(Kind::Invalid, format!("{name}:{line}:{column}: {}", e.message().replace('\n', " ")))
                .hint(
                    "the keys are: hosts (name, address, tls-dir), local, allow-plain-tcp, theme, environment, \
                     token-service (listen, url, certificate, key, behind-tls, proxies, issuer)",
                )
        })?;
        for (i, host) in file.hosts.iter().enumerate() {
            if let Some(twin) =
                file.hosts.iter().take(i).find(|h| h.name == host.name || h.address == host.address)
            {
                let text =
                    format!("{name}: hosts {} and {} have the same name or address", twin.name, host.name);
                return Err(
                    Fault::new(Kind::Invalid, text).hint("one engine is one host: remove one of the two")
                );
            }
        }
        let hosts = file.hosts.into_iter().map(|h| HostConfig {
            id: h.name,
            address: h.address,
            tls_dir: h.tls_dir,
            source: HostSource::Config,
        });
        Ok(Config {
            hosts: hosts.collect(),
            local: file.local,
            allow_plain_tcp: file.allow_plain_tcp,
            theme: file.theme,
            environment: file.environment,
            tokens: file.token_service.map(|tokens| tokens.settings(name)).transpose()?,
        })
    }
}

impl FileTokens {
    /// The settings, checked: nothing here can be wrong later but the files and the address themselves.
    fn settings(self, file: &str) -> Outcome<TokenSettings> {
        let wrong = |why: &str, hint: &str| {
            Err(Fault::new(Kind::Invalid, format!("{file}: [token-service] {why}")).hint(hint))
        };
        let tls = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return wrong("has only one of certificate and key", "TLS needs both files, PEM"),
        };
        if self.listen.port() == 0 {
            return wrong(
                "listens on no port",
                "registries are told a fixed address: name a port, such as 5443",
            );
        }
        let is_local = self.listen.ip().is_loopback();
        if tls.is_none() && !is_local && !self.behind_tls {
            return wrong(
                "would take passwords over a network without TLS",
                "give certificate and key, listen on 127.0.0.1, or say behind-tls = true when something in front ends TLS",
            );
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = match self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if is_local => format!("{scheme}://{}", self.listen),
            None => {
                return wrong(
                    "does not say under which url registries' clients reach it",
                    "url = \"https://NAME:PORT\", with the name that its certificate is for",
                );
            }
        };
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(|_| is_local));
        if rest.is_none_or(|rest| {
            rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || "?#\"".contains(c))
        }) {
            return wrong(
                &format!("has a url that clients cannot use: {url:?}"),
                "write https://NAME:PORT; http:// is for an address of this machine only",
            );
        }
        let issuer = self.issuer.unwrap_or_else(|| "longshore".to_owned());
        if self.proxies.is_some() && !self.behind_tls {
            return wrong("names proxies, but nothing in front ends TLS", "say behind-tls = true as well");
        }
        let here = || vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let proxies = self.behind_tls.then(|| self.proxies.unwrap_or_else(here));
        Ok(TokenSettings { listen: self.listen, url, tls, proxies, issuer })
    }
}

/// A host that was named only by its address on the command line.
pub fn named_by_address(index: usize, address: &str) -> Outcome<HostConfig> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let name: String = rest
        .rsplit('@')
        .next()
        .unwrap_or(rest)
        .split(['/', ':'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(*c))
        .collect();
    let id = HostId::new(&name).or_else(|_| HostId::new(&format!("host{}", index + 1)))?;
    Ok(HostConfig { id, address: address.to_owned(), tls_dir: None, source: HostSource::Environment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_named_with_its_place() {
        let text = "theme = \"dark\"\n[[hosts]]\nname = \"bj-01\"\nadress = \"tcp://bj-01:2376\"\n";
        let fault = Config::parse("config.toml", text).unwrap_err();
        assert!(fault.to_string().starts_with("config.toml:4:1: unknown field `adress`"), "{fault}");
        let name =
            Config::parse("config.toml", "[[hosts]]\nname = \"BJ 01\"\naddress = \"x\"\n").unwrap_err();
        assert!(
            name.to_string().contains("config.toml:2:") && name.to_string().contains("not valid"),
            "{name}"
        );
    }

    #[test]
    fn the_token_service_is_read_and_what_cannot_work_is_refused() {
        let read = |text: &str| Config::parse("config.toml", &format!("[token-service]\n{text}"));
        let local = read("listen = \"127.0.0.1:5443\"").unwrap().tokens.unwrap();
        assert_eq!((local.url.as_str(), local.issuer.as_str()), ("http://127.0.0.1:5443", "longshore"));
        let tls = "certificate = \"/c\"\nkey = \"/k\"\n";
        let far =
            read(&format!("{tls}listen = \"0.0.0.0:5443\"\nurl = \"https://l.example:5443/\"")).unwrap();
        assert_eq!(far.tokens.unwrap().url, "https://l.example:5443");
        let proxied = |more: &str| {
            let text =
                format!("behind-tls = true\nlisten = \"0.0.0.0:5443\"\nurl = \"https://l.example\"\n{more}");
            read(&text).unwrap().tokens.unwrap().proxies.unwrap()
        };
        assert!(proxied("").iter().all(IpAddr::is_loopback), "unless said otherwise, it is on this machine");
        assert_eq!(proxied("proxies = [\"10.0.0.5\"]"), ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        for (text, word) in [
            ("listen = \"127.0.0.1:1\"\nproxies = []".to_owned(), "names proxies"),
            ("listen = \"0.0.0.0:5443\"".to_owned(), "without TLS"),
            (format!("{tls}listen = \"0.0.0.0:5443\""), "under which url"),
            ("listen = \"127.0.0.1:1\"\nkey = \"/k\"".to_owned(), "only one of"),
            ("listen = \"127.0.0.1:0\"".to_owned(), "no port"),
            (format!("{tls}listen = \"0.0.0.0:1\"\nurl = \"http://l.example\""), "cannot use"),
            ("listen = \"127.0.0.1:1\"\nurl = \"https://\"".to_owned(), "cannot use"),
            ("listen = \"here\"".to_owned(), "config.toml:2:"),
        ] {
            let fault = read(&text).map(|_| ()).unwrap_err();
            assert!(fault.to_string().contains(word) && fault.hint.is_some(), "{text}: {fault}");
        }
    }

    #[test]
    fn addresses_name_hosts() {
        let name = |address| named_by_address(0, address).unwrap().id.to_string();
        assert_eq!(
            [name("ssh://ops@bj-01:22"), name("tcp://10.0.0.1:2376"), name("unix:///run/x.sock")],
            ["bj-01", "10.0.0.1", "host1"]
        );
    }
}
