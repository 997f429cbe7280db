//! `ports`: the short form `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]` with ranges, and the long form.

use std::net::IpAddr;

use crate::model::pool::Port;
use crate::spec::cx::{Cx, Field, Section};
use crate::spec::keys;
use crate::spec::tree::Value;

/// Most ports of one service: a guard against a range that nobody meant.
const PORTS_MAX: usize = 1_000;
const PORT_EXPECTED: &str = "1 to 65535, or a range like 8000-8010";

/// The published ports of a service.
pub fn read(cx: &mut Cx<'_>, service: &Section<'_>) -> Vec<Port> {
    let Some(field) = service.get("ports") else { return Vec::new() };
    let mut ports: Vec<Port> = Vec::new();
    for item in cx.list(&field) {
        let read = match &item.node.value {
            Value::Map(_) => long(cx, &item).into_iter().collect(),
            _ => match cx.text(&item).map(short) {
                Some(Ok(ports)) => ports,
                Some(Err((what, expected))) => {
                    cx.error(item.fault(what).expected(expected));
                    Vec::new()
                }
                None => Vec::new(),
            },
        };
        if ports.len() + read.len() > PORTS_MAX {
            cx.error(field.fault("there are too many ports").expected(format!("at most {PORTS_MAX}")));
            break;
        }
        for port in read {
            if let Some(published) = clash(&ports, &port) {
                let what = format!("the host port {published}/{} is published twice", port.protocol);
                cx.error(item.fault(what).hint("keep one of them"));
            }
            ports.push(port);
        }
    }
    ports
}

fn clash(ports: &[Port], port: &Port) -> Option<u16> {
    let same =
        |p: &&Port| p.published == port.published && p.protocol == port.protocol && p.host_ip == port.host_ip;
    port.published.filter(|_| ports.iter().any(|p| same(&p)))
}

type Wrong = (String, &'static str);

fn short(text: &str) -> Result<Vec<Port>, Wrong> {
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, protocol)) => (rest, check_protocol(protocol)?),
        None => (text, "tcp".to_owned()),
    };
    let (rest, target) = match rest.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, rest),
    };
    let (host_ip, published) = match rest {
        None => (None, ""),
        Some(rest) => match rest.rsplit_once(':') {
            Some((address, published)) => (Some(check_address(address)?), published),
            None => (None, rest),
        },
    };
    let targets = range(target)?;
    let hosts: Vec<Option<u16>> = if published.is_empty() {
        vec![None; targets.len()]
    } else {
        range(published)?.into_iter().map(Some).collect()
    };
    if hosts.len() != targets.len() {
        let what = format!("{} host ports are given for {} container ports", hosts.len(), targets.len());
        return Err((what, "ranges of the same length"));
    }
    let port = |(target, published)| Port {
        target,
        published,
        host_ip: host_ip.clone(),
        protocol: protocol.clone(),
    };
    Ok(targets.into_iter().zip(hosts).map(port).collect())
}

fn range(text: &str) -> Result<Vec<u16>, Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err((format!("the range {text:?} runs backwards"), "the lower port first"));
    }
    if usize::from(last - first) >= PORTS_MAX {
        return Err((format!("the range {text:?} has too many ports"), "at most 1000 ports"));
    }
    Ok((first..=last).collect())
}

fn number(text: &str) -> Result<u16, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse::<u16>().ok() } else { None };
    port.filter(|p| *p > 0).ok_or_else(|| (format!("{text:?} is not a port"), PORT_EXPECTED))
}

fn check_protocol(text: &str) -> Result<String, Wrong> {
    let lower = text.to_ascii_lowercase();
    if ["tcp", "udp", "sctp"].contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err((format!("{text:?} is not a protocol"), "tcp, udp or sctp"))
}

fn check_address(text: &str) -> Result<String, Wrong> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match inner.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => {
            Err((format!("{text:?} is not an address"), "an IP address of the host like 127.0.0.1 or [::1]"))
        }
    }
}

fn long(cx: &mut Cx<'_>, item: &Field<'_>) -> Option<Port> {
    let section = cx.section(item, &keys::PORT);
    let mut take = |key: &str, check: &dyn Fn(&str) -> Result<String, Wrong>| -> Option<String> {
        let field = section.get(key)?;
        match check(cx.text(&field)?) {
            Ok(value) => Some(value),
            Err((what, expected)) => {
                cx.error(field.fault(what).expected(expected));
                None
            }
        }
    };
    let one = |text: &str| number(text).map(|n| n.to_string());
    let host_port = |text: &str| match text.split_once('-') {
        Some(_) => Err((format!("{text:?} is a range"), "one port; write one entry for each port")),
        None if text.is_empty() || text == "0" => Ok("0".to_owned()),
        None => one(text),
    };
    let mode = |text: &str| match text {
        "host" | "ingress" => Ok(String::new()),
        _ => Err((format!("{text:?} is not a mode"), "host or ingress")),
    };
    let target = take("target", &one);
    let published = take("published", &host_port).and_then(|p| p.parse().ok()).filter(|p| *p > 0);
    let host_ip = take("host_ip", &check_address);
    let protocol = take("protocol", &check_protocol).unwrap_or_else(|| "tcp".to_owned());
    take("mode", &mode);
    if section.get("target").is_none() {
        cx.error(item.fault("the port has no `target`").expected("the port inside the container"));
    }
    Some(Port { target: target?.parse().ok()?, published, host_ip, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        match short(text) {
            Ok(ports) => ports
                .iter()
                .map(|p| {
                    format!(
                        "{}|{:?}|{}/{}",
                        p.host_ip.as_deref().unwrap_or("*"),
                        p.published,
                        p.target,
                        p.protocol
                    )
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err((what, _)) => what,
        }
    }

    #[test]
    fn short_forms_of_the_specification() {
        assert_eq!(shown("3000"), "*|None|3000/tcp");
        assert_eq!(shown("3000-3001"), "*|None|3000/tcp *|None|3001/tcp");
        assert_eq!(shown("9090-9091:8080-8081"), "*|Some(9090)|8080/tcp *|Some(9091)|8081/tcp");
        assert_eq!(shown("127.0.0.1:8001:8002/udp"), "127.0.0.1|Some(8001)|8002/udp");
        assert_eq!(shown("127.0.0.1::80"), "127.0.0.1|None|80/tcp");
        assert_eq!(shown("[::1]:80:81"), "::1|Some(80)|81/tcp");
        assert_eq!(shown("80o0"), r#""80o0" is not a port"#);
        for bad in
            ["", ":", "0", "65536", "1-", "2-1", "1-2:3", "1:2:3:4", "80/http", "a:1:1", "+1", "1-60000"]
        {
            assert!(short(bad).is_err(), "{bad} passed");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9:/\\-a-z\\[\\].]{0,30}", any in "\\PC{0,20}") {
            let _ = (short(&text), short(&any));
        }
    }
}
