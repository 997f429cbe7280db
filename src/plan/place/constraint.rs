//! Whether a constraint holds on a host, with Swarm's meaning of `==` and `!=` and order of numbers, sizes and versions.

use std::borrow::Cow;
use std::cmp::Ordering;

use regex::Regex;

use crate::model::host::HostView;
use crate::model::placement::{Attribute, Constraint, Operator};

/// A constraint made ready to be tried on many hosts: its expression is compiled once.
#[derive(Clone, Debug)]
pub struct Test {
    /// As it was written.
    pub constraint: Constraint,
    regex: Option<Regex>,
}

impl Test {
    /// Makes a constraint ready. An expression that does not compile never holds (it is refused when a pool file is read).
    pub fn new(constraint: &Constraint) -> Test {
        let pattern = matches!(constraint.operator, Operator::Matches | Operator::MatchesNot);
        let text = constraint.values.first().filter(|_| pattern);
        let regex = text.and_then(|t| crate::model::constraint::regex(t).ok());
        Test { constraint: constraint.clone(), regex }
    }

    /// True when hosts that are equal in all but name, address and a few bytes of memory can differ in it.
    pub fn is_of_one_host(&self) -> bool {
        matches!(self.constraint.attribute, Attribute::Id | Attribute::Hostname | Attribute::Memory)
    }

    /// Whether it holds. What a host does not have equals nothing (Swarm: `==` fails, `!=` holds) and has no order.
    pub fn holds(&self, host: &HostView) -> bool {
        self.holds_for(value(&self.constraint.attribute, host).as_deref())
    }

    /// Whether it holds for a host that has this of the attribute.
    pub fn holds_for(&self, have: Option<&str>) -> bool {
        let Constraint { attribute, operator, values } = &self.constraint;
        let Some(have) = have else {
            return matches!(operator, Operator::IsNot | Operator::NotIn | Operator::MatchesNot);
        };
        let one = values.first().map_or("", String::as_str);
        let order = || compare(attribute, have, one);
        match operator {
            Operator::Is => equal(attribute, have, one),
            Operator::IsNot => !equal(attribute, have, one),
            Operator::In => values.iter().any(|v| equal(attribute, have, v)),
            Operator::NotIn => !values.iter().any(|v| equal(attribute, have, v)),
            Operator::Matches => self.regex.as_ref().is_some_and(|r| r.is_match(have)),
            Operator::MatchesNot => self.regex.as_ref().is_some_and(|r| !r.is_match(have)),
            Operator::Less => order() == Some(Ordering::Less),
            Operator::AtMost => order().is_some_and(Ordering::is_le),
            Operator::More => order() == Some(Ordering::Greater),
            Operator::AtLeast => order().is_some_and(Ordering::is_ge),
        }
    }
}

/// What a host has of an attribute; `None` when it has none or has not told.
pub fn value<'a>(attribute: &Attribute, host: &'a HostView) -> Option<Cow<'a, str>> {
    let known = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text));
    let number = |n: u64| (n > 0).then(|| Cow::Owned(n.to_string()));
    let (facts, record) = (&host.facts, &host.record);
    match attribute {
        Attribute::Id => known(host.config.id.as_str()),
        Attribute::Hostname => known(facts.hostname.raw()),
        Attribute::Os => known(facts.os.raw()).map(|os| Cow::Borrowed(os_word(&os))),
        Attribute::Arch => known(facts.arch.raw()).map(|arch| Cow::Owned(arch_word(&arch))),
        Attribute::Site => record.site.as_ref().and_then(|s| known(s.as_str())),
        Attribute::Cluster => record.cluster.as_ref().and_then(|c| known(c.as_str())),
        Attribute::Class => host.class().map(Cow::Owned),
        Attribute::Cpus => number(facts.cpus),
        Attribute::Memory => number(facts.memory),
        Attribute::Version => known(facts.version.raw()),
        Attribute::Label(key) => record.labels.get(key).map(|v| Cow::Borrowed(v.as_str())),
        Attribute::EngineLabel(key) => facts.labels.get(key).map(|v| Cow::Borrowed(v.raw())),
    }
}

/// An operating system in one word: engines say it in words (`Debian GNU/Linux 13`, `Windows Server 2022`).
pub fn os_word(words: &str) -> &'static str {
    if words.to_ascii_lowercase().contains("windows") { "windows" } else { "linux" }
}

/// An architecture as images call it (`x86_64` is `amd64`, `aarch64` is `arm64`).
pub fn arch_word(arch: &str) -> String {
    match arch.to_ascii_lowercase().as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    }
}

fn equal(attribute: &Attribute, have: &str, want: &str) -> bool {
    match attribute {
        Attribute::Arch => *have == arch_word(want),
        Attribute::Memory => compare(attribute, have, want) == Some(Ordering::Equal),
        _ => have.eq_ignore_ascii_case(want),
    }
}

fn compare(attribute: &Attribute, have: &str, want: &str) -> Option<Ordering> {
    if *attribute != Attribute::Version
        && let (Some(have), Some(want)) = (size(have), size(want))
    {
        return have.partial_cmp(&want);
    }
    Some(version(have)?.cmp(&version(want)?))
}

/// A number, or a size with a unit (powers of 1024, as in Compose).
fn size(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|u| *u == unit)?;
    let number: f64 = number.parse().ok()?;
    Some((0..power).fold(number, |n, _| n * 1024.0))
}

/// A version's numbers, and whether it is final: a release candidate comes before its release.
fn version(text: &str) -> Option<(Vec<u64>, bool)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+', '~']).unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(end);
    let mut numbers: Vec<u64> = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    let early = ["-rc", "-beta", "-alpha", "-dev", "-tp", "~rc"];
    Some((numbers, !early.iter().any(|e| suffix.starts_with(e))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::{HostConfig, HostFacts, HostRecord, HostSource};
    use std::sync::Arc;

    fn host() -> HostView {
        let config = HostConfig {
            id: "h1".parse().unwrap(),
            address: "unix:///x".into(),
            tls_dir: None,
            source: HostSource::Added,
        };
        let mut host = HostView::never(config);
        host.facts = Arc::new(HostFacts {
            os: "Debian GNU/Linux 13".into(),
            arch: "x86_64".into(),
            version: "28.1.1".into(),
            hostname: "Box".into(),
            cpus: 8,
            memory: 16 << 30,
            ..HostFacts::default()
        });
        let labels = [("disk".to_owned(), "SSD".to_owned()), ("age".to_owned(), "3".to_owned())].into();
        host.record = Arc::new(HostRecord { labels, ..HostRecord::default() });
        host
    }

    #[test]
    fn constraints_hold_as_swarm_says() {
        let host = host();
        for (text, holds) in [
            ("node.labels.disk == ssd", true),
            ("node.labels.disk != SSD", false),
            ("node.labels.gone == x", false),
            ("node.labels.gone != x", true),
            ("node.labels.gone in (x)", false),
            ("node.labels.gone not in (x)", true),
            ("node.labels.gone < 3", false),
            ("node.labels.age <= 3", true),
            ("node.labels.age > 10", false),
            ("node.platform.arch == x86_64", true),
            ("node.platform.arch in (arm64, amd64)", true),
            ("node.platform.os == linux", true),
            ("node.memory >= 16G", true),
            ("node.memory > 16GiB", false),
            ("node.cpus < 8.5", true),
            ("node.version > 28.1.1-rc.2", true),
            ("node.version >= 28.1.1", true),
            ("node.version < 28.10", true),
            ("node.hostname =~ ^B", true),
            ("node.hostname !~ ^B", false),
            ("node.site == bj", false),
            ("node.class == 8c-16g", true),
        ] {
            assert_eq!(Test::new(&text.parse().unwrap()).holds(&host), holds, "{text}");
        }
    }
}
