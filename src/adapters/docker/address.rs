//! A host's address taken apart and checked: `unix://`, `tcp://` and `ssh://`.

use std::path::PathBuf;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::host::HostConfig;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A port, with TLS when the host's entry has a directory of certificates.
    Tcp { host: String, port: u16 },
    /// A socket on a machine that is reached by ssh.
    Ssh { user: Option<String>, host: String, port: Option<u16>, socket: String },
}

/// The engine's usual socket.
pub(super) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const PORT_PLAIN: u16 = 2375;
const PORT_TLS: u16 = 2376;

/// Reads and checks the address of a host. Plain TCP beyond this machine is refused unless it is allowed explicitly:
/// whoever reaches the engine's port is root on its machine.
pub(super) fn parse(config: &HostConfig, allow_plain_tcp: bool) -> Outcome<Address> {
    let text = config.address.as_str();
    let bad = |why: &str| {
        Fault::new(Kind::Invalid, format!("{text:?} is not an engine's address: {why}"))
            .hint("write unix:///path/docker.sock, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]")
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("it has a blank or a control character"));
    }
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(PathBuf::from(path))),
        Some(("unix", _)) => Err(bad("the socket's path must be absolute")),
        Some(("tcp" | "http" | "https", rest)) => {
            let default = if config.tls_dir.is_some() { PORT_TLS } else { PORT_PLAIN };
            let (host, port) = host_port(rest.trim_end_matches('/')).map_err(bad)?;
            if config.tls_dir.is_none() && !is_loopback(&host) && !allow_plain_tcp {
                return Err(Fault::new(Kind::Refused, format!("{text} has no TLS"))
                    .because("plain TCP is only used on this machine")
                    .hint("give the host a directory with ca.pem, cert.pem and key.pem, or use ssh://"));
            }
            Ok(Address::Tcp { host, port: port.unwrap_or(default) })
        }
        Some(("ssh", rest)) => {
            let (login, path) = rest.split_once('/').map_or((rest, ""), |(login, path)| (login, path));
            let (user, place) = match login.rsplit_once('@') {
                Some((user, place)) => (Some(user), place),
                None => (None, login),
            };
            let (host, port) = host_port(place).map_err(bad)?;
            // A leading dash would be read by ssh as one of its options.
            if host.starts_with('-') || user.is_some_and(|u| u.is_empty() || u.starts_with('-')) {
                return Err(bad("a name starts with '-' or is empty"));
            }
            let socket = if path.is_empty() { DEFAULT_SOCKET.to_owned() } else { format!("/{path}") };
            Ok(Address::Ssh { user: user.map(str::to_owned), host, port, socket })
        }
        Some((scheme, _)) => Err(bad(&format!("the Docker adapter does not know {scheme}://"))),
        None => Err(bad("there is no scheme")),
    }
}

fn host_port(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        (host, rest.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() || host.contains('/') {
        return Err("there is no host name");
    }
    let port = match port {
        Some(digits) => Some(digits.parse().map_err(|_| "the port is not a number")?),
        None => None,
    };
    Ok((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::HostId;
    use crate::model::host::HostSource;

    fn read(address: &str) -> Outcome<Address> {
        let id = HostId::new("h").unwrap();
        parse(&HostConfig { id, address: address.into(), tls_dir: None, source: HostSource::Added }, false)
    }

    #[test]
    fn addresses_are_taken_apart() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        assert_eq!(read("unix:///a/b.sock"), Ok(Address::Unix("/a/b.sock".into())));
        assert_eq!(read("tcp://127.0.0.1:99"), Ok(tcp("127.0.0.1", 99)));
        assert_eq!(read("tcp://[::1]"), Ok(tcp("::1", 2375)));
        let ssh = |user: Option<&str>, port, socket: &str| Address::Ssh {
            user: user.map(str::to_owned),
            host: "box".into(),
            port,
            socket: socket.into(),
        };
        assert_eq!(read("ssh://box"), Ok(ssh(None, None, DEFAULT_SOCKET)));
        assert_eq!(read("ssh://me@box:2222/run/d.sock"), Ok(ssh(Some("me"), Some(2222), "/run/d.sock")));
    }

    #[test]
    fn bad_and_unsafe_addresses_are_refused() {
        for bad in [
            "",
            "box",
            "unix://rel",
            "tcp://",
            "tcp://h:x",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-l@box",
            "ssh://@box",
            "ftp://x",
            "ssh://a b",
            "tcp://[::1",
            "unix:///a\u{7}",
        ] {
            assert_eq!(read(bad).map_err(|f| f.kind), Err(Kind::Invalid), "{bad:?}");
        }
        assert_eq!(read("tcp://10.0.0.7:2375").map_err(|f| f.kind), Err(Kind::Refused));
    }
}
