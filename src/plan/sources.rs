//! Where a host gets an image: from its site's own registry, from where its name says, and from registries that hold a copy of it
//! by a replication rule. Those that do not answer come last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::clock::Millis;
use crate::base::ids::{RegistryName, SiteName};
use crate::base::stamp::rfc3339;
use crate::base::text::safe;
use crate::model::desired::Desired;
use crate::model::oci::{Repository, Tag};
use crate::model::registry::{Registry, RegistryView};
use crate::model::replication::Rule;
use crate::plan::image_policy::registry_of;
use crate::plan::replicate::filter::Selector;

/// So many places are tried for one image: each that does not answer costs a host half a minute.
const SOURCES_MAX: usize = 4;

/// One place that may have an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What to pull there.
    pub reference: String,
    /// The registry, if it is one that we know.
    pub registry: Option<RegistryName>,
    /// What it is called: its address.
    pub address: String,
    /// None of its endpoints answers to us: since when it was heard of last, if ever.
    pub silent: Option<Option<Millis>>,
    /// It would be the first if all of them answered.
    pub preferred: bool,
}

impl Source {
    /// `registry north (north.example:5000)`, or only the address of one that we do not know.
    pub fn name(&self) -> String {
        let address = safe(&self.address);
        match &self.registry {
            Some(name) => format!("registry {name} ({address})"),
            None => format!("registry {address}"),
        }
    }

    /// That it does not answer and since when, in one sentence; none while it does, or we do not know it.
    pub fn outage(&self) -> Option<String> {
        Some(match self.silent? {
            Some(last) => format!("{} has not answered since {}", self.name(), rfc3339(last)),
            None => format!("{} has never answered", self.name()),
        })
    }
}

/// The places to pull an image from on a host of this site, in the order in which they are tried.
pub fn sources(
    desired: &Desired,
    registries: &BTreeMap<RegistryName, RegistryView>,
    site: Option<&SiteName>,
    image: &str,
) -> Vec<Source> {
    let known = |address: &str| desired.registries.values().find(|r| r.address == address);
    let host = registry_of(image);
    let named = place(registries, known(host), host, image.to_owned());
    // An engine cannot give a digest as a second name: such an image comes from where its name says.
    let Some((path, tag)) = path_of(image).filter(|_| !image.contains('@')) else {
        return ordered(vec![named]);
    };
    let own = site.and_then(|site| own_registry(desired, site)).filter(|own| own != host);
    let copies = match known(host) {
        Some(registry) => copies(desired, &registry.name, &path, &tag),
        None => Vec::new(),
    };
    let path_at = |registry: &RegistryName| copies.iter().find(|(at, _)| at == registry).map(|(_, p)| p);
    let mut out = Vec::new();
    if let Some(own) = own {
        let registry = known(&own);
        let own_path = registry.and_then(|r| path_at(&r.name)).map_or(path.as_str(), Repository::as_str);
        let reference = format!("{own}/{own_path}:{tag}");
        out.push(place(registries, registry, &own, reference));
    }
    out.push(named);
    // What the site's own registry lacks, its neighbours by rule may have, also where nobody has recorded the one that is named.
    let more = match (known(host), out.first().and_then(|own| own.registry.clone())) {
        (None, Some(own)) => self::copies(desired, &own, &path, &tag),
        _ => copies,
    };
    for (name, path) in more {
        if let Some(registry) = desired.registries.get(&name) {
            let reference = format!("{}/{path}:{tag}", registry.address);
            out.push(place(registries, Some(registry), &registry.address, reference));
        }
    }
    ordered(out)
}

/// Each place once, those that do not answer last, and no more than are worth a try.
fn ordered(all: Vec<Source>) -> Vec<Source> {
    let mut seen = BTreeSet::new();
    let mut all: Vec<Source> =
        all.into_iter().filter(|s| seen.insert((s.address.clone(), s.reference.clone()))).collect();
    if let Some(first) = all.first_mut() {
        first.preferred = true;
    }
    all.sort_by_key(|source| source.silent.is_some());
    // The preferred one is tried in any case: it may answer the host though it does not answer us.
    let at = all.iter().position(|s| s.preferred).unwrap_or(0);
    if at >= SOURCES_MAX {
        all.swap(at, SOURCES_MAX - 1);
    }
    all.truncate(SOURCES_MAX);
    all
}

fn place(
    registries: &BTreeMap<RegistryName, RegistryView>,
    registry: Option<&Registry>,
    address: &str,
    reference: String,
) -> Source {
    let view = registry.and_then(|r| registries.get(&r.name));
    Source {
        reference,
        registry: registry.map(|r| r.name.clone()),
        address: address.to_owned(),
        silent: view.and_then(RegistryView::silent_since).map(|(last, _)| last),
        preferred: false,
    }
}

/// The address that the hosts of a site pull from first: as recorded with the site, or with a registry.
pub fn own_registry(desired: &Desired, site: &SiteName) -> Option<String> {
    let with_site = desired.sites.get(site).and_then(|s| s.registry.clone());
    let with_registry =
        || desired.registries.values().find(|r| r.sites.contains(site)).map(|r| r.address.clone());
    with_site.or_else(with_registry)
}

/// The repository and the tag of a reference; none when it has a digest, or is no reference.
fn path_of(image: &str) -> Option<(Repository, String)> {
    let rest = match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest.to_owned(),
        Some(_) => image.to_owned(),
        // Docker's official images live under `library/`.
        None => format!("library/{image}"),
    };
    let (path, tag) = rest.rsplit_once(':').unwrap_or((&rest, "latest"));
    Some((path.parse().ok()?, tag.to_owned()))
}

/// Registries that hold a copy by rule, nearest first, each with what the repository is called there.
fn copies(
    desired: &Desired,
    from: &RegistryName,
    path: &Repository,
    tag: &str,
) -> Vec<(RegistryName, Repository)> {
    let Ok(tag) = tag.parse::<Tag>() else { return Vec::new() };
    let rules: Vec<(&Rule, Selector)> =
        desired.rules.values().filter_map(|rule| Some((rule, Selector::of(rule).ok()?))).collect();
    let mut seen = BTreeSet::from([from.clone()]);
    let mut open = VecDeque::from([(from.clone(), path.clone())]);
    let mut out = Vec::new();
    while let Some((here, path)) = open.pop_front() {
        for (rule, selector) in &rules {
            for (name, path) in neighbours(rule, selector, &here, &path, &tag) {
                if seen.insert(name.clone()) {
                    out.push((name.clone(), path.clone()));
                    open.push_back((name, path));
                }
            }
        }
    }
    out
}

/// The other ends of a rule that carries this, with what the repository is called there.
fn neighbours(
    rule: &Rule,
    selector: &Selector,
    here: &RegistryName,
    path: &Repository,
    tag: &Tag,
) -> Vec<(RegistryName, Repository)> {
    let wants = |source: &Repository| selector.wants_repository(source) && selector.wants_tag(tag);
    if rule.source == *here {
        let Some(there) = Some(path).filter(|p| wants(p)).and_then(|p| selector.at_target(p).ok()) else {
            return Vec::new();
        };
        return rule.targets.iter().map(|name| (name.clone(), there.clone())).collect();
    }
    if !rule.targets.contains(here) {
        return Vec::new();
    }
    let source = selector.at_source(path).filter(|source| wants(source));
    source.map(|source| (rule.source.clone(), source)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::Seen;
    use crate::model::site::{Site, SiteLimits};

    fn desired(registries: &[(&str, &[&str])], rules: &[&str]) -> Desired {
        let mut desired = Desired::default();
        for (name, sites) in registries {
            let mut registry = Registry::new(name.parse().unwrap(), format!("{name}.example:5000"));
            registry.sites = sites.iter().map(|s| s.parse().unwrap()).collect();
            desired.registries.insert(registry.name.clone(), registry);
        }
        for rule in rules {
            let rule: Rule = serde_json::from_str(rule).unwrap();
            desired.rules.insert(rule.name.clone(), rule);
        }
        desired
    }

    fn views(desired: &Desired, silent: &[&str]) -> BTreeMap<RegistryName, RegistryView> {
        let view = |r: &Registry| {
            let mut view = RegistryView::never(r.clone());
            let is_silent = silent.contains(&r.name.as_str());
            view.endpoints[0].seen = if is_silent {
                Seen::Lost { last: Millis(1_000), since: Millis(2_000), why: "cut".into() }
            } else {
                Seen::At(Millis(2_000))
            };
            (r.name.clone(), view)
        };
        desired.registries.values().map(view).collect()
    }

    fn order(desired: &Desired, silent: &[&str], site: Option<&str>, image: &str) -> Vec<String> {
        let site = site.map(|s| s.parse().unwrap());
        let all = sources(desired, &views(desired, silent), site.as_ref(), image);
        all.into_iter().map(|s| s.reference).collect()
    }

    const ALL: &str = r#"{"name":"all","source":"hq","targets":["bj","sh"]}"#;

    #[test]
    fn the_sites_own_comes_first_then_the_one_that_is_named_then_copies() {
        let desired = desired(&[("hq", &[]), ("bj", &["bj"]), ("sh", &["sh"])], &[ALL]);
        let of = |silent: &[&str], site| order(&desired, silent, site, "hq.example:5000/feed/web:2");
        assert_eq!(
            of(&[], Some("bj")),
            ["bj.example:5000/feed/web:2", "hq.example:5000/feed/web:2", "sh.example:5000/feed/web:2"]
        );
        assert_eq!(
            of(&["bj"], Some("bj")),
            ["hq.example:5000/feed/web:2", "sh.example:5000/feed/web:2", "bj.example:5000/feed/web:2"],
            "one that does not answer is tried last"
        );
        assert_eq!(of(&["hq"], None)[0], "bj.example:5000/feed/web:2");
        assert_eq!(of(&["hq", "bj", "sh"], Some("sh"))[0], "sh.example:5000/feed/web:2");
    }

    #[test]
    fn an_image_that_is_named_by_the_sites_own_registry_has_its_copies() {
        let desired = desired(&[("hq", &[]), ("bj", &["bj"]), ("sh", &["sh"])], &[ALL]);
        let image = "bj.example:5000/feed/web:2";
        assert_eq!(
            order(&desired, &["bj"], Some("bj"), image),
            ["hq.example:5000/feed/web:2", "sh.example:5000/feed/web:2", image]
        );
    }

    #[test]
    fn only_what_a_rule_carries_is_a_copy() {
        let rule = r#"{"name":"feed","source":"hq","targets":["bj"],"prefix":"hq",
            "filters":[{"on":"repository","pattern":{"glob":"feed/**"}},{"on":"tag","pattern":{"semver":">=1"}}]}"#;
        let desired = desired(&[("hq", &[]), ("bj", &[]), ("sh", &[])], &[rule]);
        let of = |image: &str| order(&desired, &[], None, image);
        assert_eq!(
            of("hq.example:5000/feed/web:1.2.0"),
            ["hq.example:5000/feed/web:1.2.0", "bj.example:5000/hq/feed/web:1.2.0"]
        );
        assert_eq!(of("bj.example:5000/hq/feed/web:1.2.0")[1], "hq.example:5000/feed/web:1.2.0");
        for alone in [
            "hq.example:5000/feed/web:latest",
            "hq.example:5000/ads/web:1.2.0",
            "bj.example:5000/feed/web:1.2.0",
            "sh.example:5000/feed/web:1.2.0",
        ] {
            assert_eq!(of(alone), [alone]);
        }
    }

    #[test]
    fn a_digest_comes_from_where_its_name_says_and_an_unknown_registry_is_no_outage() {
        let mut desired = desired(&[("bj", &[])], &[]);
        let site = Site {
            name: "bj".parse().unwrap(),
            registry: Some("bj.example:5000".into()),
            limits: SiteLimits::default(),
        };
        desired.sites.insert(site.name.clone(), site);
        let digest = format!("hq.example/feed/web@sha256:{}", "0".repeat(64));
        assert_eq!(order(&desired, &["bj"], Some("bj"), &digest), [digest.as_str()]);
        assert_eq!(
            order(&desired, &[], Some("bj"), "busybox"),
            ["bj.example:5000/library/busybox:latest", "busybox"]
        );
        let views = views(&desired, &["bj"]);
        let all = sources(&desired, &views, Some(&"bj".parse().unwrap()), "busybox");
        assert_eq!((all[0].outage(), all[0].preferred), (None, false));
        let said = all[1].outage().unwrap();
        assert_eq!(said, "registry bj (bj.example:5000) has not answered since 1970-01-01T00:00:01.000Z");
        assert!(all[1].preferred);
    }

    #[test]
    fn many_copies_do_not_make_a_host_wait_for_all_of_them() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let rule = r#"{"name":"all","source":"hq","targets":["a","b","c","d","e","f"]}"#;
        let mut all: Vec<(&str, &[&str])> = names.iter().map(|n| (*n, &[][..])).collect();
        all.push(("hq", &[]));
        let desired = desired(&all, &[rule]);
        let tried = order(&desired, &["hq"], None, "hq.example:5000/feed/web:2");
        assert_eq!(tried.len(), 4);
        assert!(tried.contains(&"hq.example:5000/feed/web:2".to_owned()), "{tried:?}");
    }
}
