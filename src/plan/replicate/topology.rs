//! Rules as a graph of registries: what may not be, which shape it has, and where an image is to be found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{RegistryName, RuleName, SiteName};
use crate::model::oci::Repository;
use crate::model::registry::Registry;
use crate::model::replication::{On, Pattern, Rule};
use crate::plan::replicate::filter::Selector;

/// One direction in which a rule writes.
struct Arrow<'a> {
    rule: &'a Rule,
    from: &'a RegistryName,
    to: &'a RegistryName,
    /// Against the rule's direction, with two masters.
    back: bool,
}

fn arrows(rules: &[Rule]) -> Vec<Arrow<'_>> {
    let mut out = Vec::new();
    for rule in rules {
        for target in &rule.targets {
            out.push(Arrow { rule, from: &rule.source, to: target, back: false });
            if rule.two_way {
                out.push(Arrow { rule, from: target, to: &rule.source, back: true });
            }
        }
    }
    out
}

/// Checks all rules together, and each by itself. All faults are told at once.
pub fn check(rules: &[Rule], registries: &[Registry]) -> Vec<Fault> {
    let mut out: Vec<Fault> = rules.iter().flat_map(|rule| alone(rule, registries)).collect();
    let arrows = arrows(rules);
    for (i, a) in arrows.iter().enumerate() {
        for b in arrows.iter().skip(i + 1).filter(|b| b.rule.name != a.rule.name) {
            out.extend(against(a, b));
        }
    }
    if let Some(path) = circle(&arrows) {
        let names: Vec<&str> = path.iter().map(|r| r.as_str()).collect();
        out.push(
            wrong(format!("these rules make a circle: {}", names.join(" → ")))
                .hint("take one of them away: an image must not come back to where it began"),
        );
    }
    out
}

fn wrong(why: String) -> Fault {
    Fault::new(Kind::Invalid, why)
}

fn alone(rule: &Rule, registries: &[Registry]) -> Vec<Fault> {
    let mut out: Vec<Fault> = Selector::of(rule).err().into_iter().collect();
    let name = &rule.name;
    for registry in rule.targets.iter().chain([&rule.source]).collect::<BTreeSet<_>>() {
        if !registries.iter().any(|r| r.name == *registry) {
            out.push(
                Fault::new(Kind::NotFound, format!("rule {name}: there is no registry {registry}"))
                    .hint("add it first, or correct its name"),
            );
        }
    }
    if rule.targets.is_empty() {
        out.push(wrong(format!("rule {name} has no target")));
    }
    if rule.targets.contains(&rule.source) {
        out.push(wrong(format!("rule {name}: {} is source and target", rule.source)));
    }
    if rule.targets.iter().collect::<BTreeSet<_>>().len() != rule.targets.len() {
        out.push(wrong(format!("rule {name} names a target twice")));
    }
    if rule.two_way && rule.targets.len() > 1 {
        out.push(
            wrong(format!("rule {name} has two ways and {} targets", rule.targets.len()))
                .hint("two masters are two: make a rule for each pair"),
        );
    }
    out
}

/// What two rules may not do together.
fn against(a: &Arrow<'_>, b: &Arrow<'_>) -> Option<Fault> {
    let names = format!("rules {} and {}", a.rule.name, b.rule.name);
    let is_shared = || stems(a).iter().any(|x| stems(b).iter().any(|y| meet(x, y)));
    let both_masters = a.rule.two_way && b.rule.two_way;
    if a.to == b.to && a.from != b.from && !both_masters && is_shared() {
        let why = format!(
            "{names} may write the same repositories to {}, from {} and from {}",
            a.to, a.from, b.from
        );
        return Some(wrong(why).hint(
            "let their repository filters begin with different paths, or give one of them a prefix of its own",
        ));
    }
    let is_beside = a.from == b.from && a.to == b.to && !a.back && !b.back;
    if is_beside && a.rule.two_way != b.rule.two_way && is_shared() {
        let why = format!("{names} both carry the same repositories from {} to {}", a.from, a.to);
        return Some(
            wrong(why).hint("the one with two ways is enough: remove the other, or let their filters differ"),
        );
    }
    let is_facing = a.from == b.to && a.to == b.from && !a.back && !b.back;
    // With a rule of two ways between the same two, the pair is told once by its own direction.
    (is_facing && feeds(a, b) && feeds(b, a)).then(|| {
        wrong(format!("{names} carry the same repositories to and fro between {} and {}", a.from, a.to))
            .hint("make one rule with two ways of them: it remembers what both sides had")
    })
}

/// True when what an arrow writes may be what another one reads there.
fn feeds(writes: &Arrow<'_>, reads: &Arrow<'_>) -> bool {
    let read = read(reads);
    stems(writes).iter().any(|x| read.iter().any(|y| meet(x, y)))
}

/// How the names of the repositories that an arrow writes may begin; whole names end with a NUL, which no name has.
fn stems(arrow: &Arrow<'_>) -> Vec<String> {
    begin(arrow, if arrow.back { None } else { arrow.rule.prefix.as_ref() })
}

/// The same of those that it reads.
fn read(arrow: &Arrow<'_>) -> Vec<String> {
    begin(arrow, if arrow.back { arrow.rule.prefix.as_ref() } else { None })
}

fn begin(arrow: &Arrow<'_>, prefix: Option<&Repository>) -> Vec<String> {
    let filters: Vec<_> = arrow.rule.filters.iter().filter(|f| f.on == On::Repository).collect();
    let prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
    if filters.first().is_none_or(|f| f.exclude) {
        return vec![prefix];
    }
    let included = filters.iter().filter(|f| !f.exclude);
    included.map(|f| format!("{prefix}{}", stem(&f.pattern))).collect()
}

fn stem(pattern: &Pattern) -> String {
    let (text, special) = match pattern {
        Pattern::Glob(text) => (text, "*?[{\\"),
        // (What follows an alternative, or a character that may be absent, is no beginning.)
        Pattern::Regex(text) if text.contains('|') => return String::new(),
        Pattern::Regex(text) => (text, "*?[{\\.+()^$"),
        Pattern::Semver(_) => return String::new(),
    };
    match text.find(|c: char| special.contains(c)) {
        None => format!("{text}\0"),
        Some(at) => {
            let is_counted = matches!(pattern, Pattern::Regex(_)) && text[at..].starts_with(['*', '?', '{']);
            let end = if is_counted { text[..at].char_indices().last().map_or(0, |(i, _)| i) } else { at };
            text[..end].to_owned()
        }
    }
}

fn meet(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// A circle over three registries or more. (Between two, filters decide: see `against`.)
fn circle<'a>(arrows: &[Arrow<'a>]) -> Option<Vec<&'a RegistryName>> {
    let mut edges: BTreeMap<&RegistryName, BTreeSet<&'a RegistryName>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|a| a.from != a.to) {
        edges.entry(arrow.from).or_default().insert(arrow.to);
    }
    let next = |of: &RegistryName| edges.get(of).into_iter().flatten().copied();
    for arrow in arrows.iter().filter(|a| a.from != a.to) {
        // A way back from the arrow's end to its beginning that does not use the same pair.
        let mut came: BTreeMap<&RegistryName, &'a RegistryName> = BTreeMap::new();
        let mut queue = VecDeque::from([arrow.to]);
        while let Some(at) = queue.pop_front() {
            for to in next(at) {
                if (at == arrow.to && to == arrow.from) || came.contains_key(to) || to == arrow.to {
                    continue;
                }
                came.insert(to, at);
                queue.push_back(to);
            }
        }
        if came.contains_key(arrow.from) {
            let mut path = vec![arrow.from];
            let mut at = arrow.from;
            while let Some(before) = came.get(at).copied() {
                path.push(before);
                at = before;
            }
            path.push(arrow.from);
            path.reverse();
            return Some(path);
        }
    }
    None
}

/// The shape of all rules together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// There is no rule.
    Empty,
    /// Sources write to targets, and no target is a source.
    Star,
    /// Targets are sources of further ones.
    Tree,
    /// There are masters that follow each other.
    Masters,
}

/// The shape of these rules.
pub fn shape(rules: &[Rule]) -> Shape {
    let arrows = arrows(rules);
    if arrows.is_empty() {
        Shape::Empty
    } else if arrows.iter().any(|a| a.back) {
        Shape::Masters
    } else if arrows.iter().any(|a| arrows.iter().any(|b| a.to == b.from)) {
        Shape::Tree
    } else {
        Shape::Star
    }
}

/// Where an image is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In this registry.
    pub registry: RegistryName,
    /// Under this name.
    pub repository: Repository,
    /// So many rules after one another bring it there.
    pub hops: u32,
}

/// All places to which the rules bring a repository of a registry, nearest first, itself the first. Rules that are switched off
/// count: what they brought is there.
///
/// # Errors
/// When a filter of a rule cannot be understood.
pub fn places(home: &RegistryName, repository: &Repository, rules: &[Rule]) -> Outcome<Vec<Place>> {
    let selectors: BTreeMap<&RuleName, Selector> =
        rules.iter().map(|r| Ok((&r.name, Selector::of(r)?))).collect::<Outcome<_>>()?;
    let arrows = arrows(rules);
    let mut out = vec![Place { registry: home.clone(), repository: repository.clone(), hops: 0 }];
    let mut at = 0;
    while let Some(place) = out.get(at).cloned() {
        at += 1;
        for arrow in arrows.iter().filter(|a| *a.from == place.registry) {
            let Some(selector) = selectors.get(&arrow.rule.name) else { continue };
            let at_source = if arrow.back {
                selector.at_source(&place.repository)
            } else {
                Some(place.repository.clone())
            };
            let Some(at_source) = at_source.filter(|name| selector.wants_repository(name)) else { continue };
            let Ok(name) = (if arrow.back { Ok(at_source) } else { selector.at_target(&at_source) }) else {
                continue;
            };
            if !out.iter().any(|p| p.registry == *arrow.to && p.repository == name) {
                out.push(Place { registry: arrow.to.clone(), repository: name, hops: place.hops + 1 });
            }
        }
    }
    Ok(out)
}

/// The places from which a site's hosts can pull an image, the best first: registries of the site, then the fewest rules away
/// from where the image was pushed (it is there the earliest).
///
/// # Errors
/// When a filter of a rule cannot be understood.
pub fn for_site(
    site: &SiteName,
    home: &RegistryName,
    repository: &Repository,
    rules: &[Rule],
    registries: &[Registry],
) -> Outcome<Vec<Place>> {
    let mut out = places(home, repository, rules)?;
    let is_own = |name: &RegistryName| registries.iter().any(|r| r.name == *name && r.sites.contains(site));
    out.sort_by_key(|place| (!is_own(&place.registry), place.hops));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(names: &[&str]) -> Vec<Registry> {
        let json =
            |n: &&str| format!(r#"{{"name": "{n}", "address": "{n}.example", "sites": ["{n}-site"]}}"#);
        names.iter().map(|n| serde_json::from_str(&json(n)).unwrap()).collect()
    }

    /// `NAME SOURCE > TARGET[,TARGET] [GLOB]`, `=` for two ways.
    fn rules(lines: &[&str]) -> Vec<Rule> {
        let make = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let targets: Vec<&str> = words[3].split(',').collect();
            let filters: Vec<serde_json::Value> = words
                .iter()
                .skip(4)
                .map(|w| serde_json::json!({"on": "repository", "pattern": {"glob": w}}))
                .collect();
            serde_json::from_value(serde_json::json!({
                "name": words[0], "source": words[1], "two_way": words[2] == "=", "targets": targets, "filters": filters,
            }))
            .unwrap()
        };
        lines.iter().map(make).collect()
    }

    fn said(lines: &[&str]) -> Vec<String> {
        let all = registries(&["bj", "sh", "gz", "tc"]);
        check(&rules(lines), &all).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_sound_is_taken() {
        for (lines, is) in [
            (&["a bj > sh,gz,tc"][..], Shape::Star),
            (&["a bj > sh", "b sh > gz", "c sh > tc"], Shape::Tree),
            (&["a bj = sh"], Shape::Masters),
            (&["a bj = sh", "b sh = gz", "c gz > tc"], Shape::Masters),
            (&["a bj > tc feed/**", "b sh > tc ads/**"], Shape::Star),
            (&["a bj > sh base/*", "b sh > bj apps/*"], Shape::Tree),
            (&["a bj = sh feed/*", "b bj = sh ads/*"], Shape::Masters),
            (&[], Shape::Empty),
        ] {
            assert_eq!(said(lines), Vec::<String>::new(), "{lines:?}");
            assert_eq!(shape(&rules(lines)), is, "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_is_refused_and_named() {
        assert_eq!(said(&["a bj > xx"]), ["rule a: there is no registry xx"]);
        assert_eq!(said(&["a bj > bj"]), ["rule a: bj is source and target"]);
        assert_eq!(said(&["a bj > sh,sh"]), ["rule a names a target twice"]);
        assert_eq!(said(&["a bj = sh,gz"])[0], "rule a has two ways and 2 targets");
        let same = "rules a and b may write the same repositories to tc, from bj and from sh";
        assert_eq!(said(&["a bj > tc feed/**", "b sh > tc feed/web"]), [same]);
        assert_eq!(said(&["a bj > tc", "b sh > tc ads/**"]), [same]);
        assert_eq!(said(&["a bj = tc", "b sh > tc"]), [same], "a stranger among masters");
        let facing = "rules a and b carry the same repositories to and fro between bj and sh";
        assert_eq!(said(&["a bj > sh", "b sh > bj"]), [facing]);
        let circle = said(&["a bj > sh", "b sh > gz", "c gz > bj"]);
        assert_eq!(circle, ["these rules make a circle: bj → sh → gz → bj"]);
        assert_eq!(said(&["a bj = sh", "b sh = gz", "c gz = bj"]).len(), 1);
    }

    #[test]
    fn a_prefix_keeps_two_sources_apart() {
        let mut two = rules(&["a bj > tc", "b sh > tc"]);
        two[0].prefix = Some("bj".parse().unwrap());
        let all = registries(&["bj", "sh", "tc"]);
        assert_eq!(check(&two, &all).len(), 1, "the other one may write bj/… too");
        two[1].prefix = Some("sh".parse().unwrap());
        assert_eq!(check(&two, &all), []);
        let pattern = |text: &str| stem(&Pattern::Regex(text.into()));
        assert_eq!(pattern("feed/web"), "feed/web\0");
        assert_eq!(
            (pattern("feed/we*b"), pattern("feed/.*"), pattern("a|b")),
            ("feed/w".into(), "feed/".into(), String::new())
        );
    }

    #[test]
    fn an_image_is_found_where_the_rules_bring_it_the_sites_own_first() {
        let mut all = rules(&["a bj = sh feed/**", "b sh > gz", "c bj > tc ads/**"]);
        all[1].prefix = Some("hq".parse().unwrap());
        let web: Repository = "feed/web".parse().unwrap();
        let show = |places: Vec<Place>| {
            places.iter().map(|p| format!("{}/{} {}", p.registry, p.repository, p.hops)).collect::<Vec<_>>()
        };
        let from = |home: &str| show(places(&home.parse().unwrap(), &web, &all).unwrap());
        assert_eq!(from("bj"), ["bj/feed/web 0", "sh/feed/web 1", "gz/hq/feed/web 2"]);
        assert_eq!(from("sh"), ["sh/feed/web 0", "bj/feed/web 1", "gz/hq/feed/web 1"]);
        assert_eq!(from("tc"), ["tc/feed/web 0"]);
        let named = registries(&["bj", "sh", "gz", "tc"]);
        let site = "gz-site".parse().unwrap();
        let best = show(for_site(&site, &"bj".parse().unwrap(), &web, &all, &named).unwrap());
        assert_eq!(best, ["gz/hq/feed/web 2", "bj/feed/web 0", "sh/feed/web 1"]);
    }
}
