//! Holds an image against the rules for images: every rule that it breaks, and every one that could not be looked at.

use crate::base::clock::Millis;
use crate::base::stamp::rfc3339;
use crate::base::text::{count, fit, safe};
use crate::model::image::{HUB, is_address, own_name};
use crate::model::oci::Digest;
use crate::model::policy::{Breach, ImageFacts, ImagePolicy, ImageVerdict, Stance};

const DAY_MS: u64 = 86_400_000;
/// Clocks of builders may be ahead by so much; a time beyond that tells nothing of an image's age.
const AHEAD_MS: u64 = DAY_MS;
/// Longest value from an image that a sentence repeats, in columns.
const VALUE_MAX: usize = 60;

/// All rules of the policy that this image does not meet, in the policy's order; empty means that it passes.
///
/// `facts` are `None` when the image's configuration is not known; then each rule that looks at it comes back as a breach
/// that is `unknown`. So does a rule whose very value the configuration does not tell (such as the day it was made).
/// A user that has a name other than `root` counts as not root: which number it has is told only inside the image.
pub fn check(policy: &ImagePolicy, image: &str, facts: Option<&ImageFacts>, now: Millis) -> Vec<Breach> {
    let mut out = Vec::new();
    let mut broken =
        |rule: &str, why: String| out.push(Breach { rule: rule.to_owned(), why, unknown: false });
    let registry = registry_of(image);
    if !policy.registries.is_empty() && !policy.registries.iter().any(|p| like(own_name(p), registry)) {
        let allowed = policy.registries.join(", ");
        broken("registries", format!("it comes from {}; allowed are {}", shown(registry), shown(&allowed)));
    }
    if policy.digest_required && !has_digest(image) {
        broken(
            "digest_required",
            "it is named by a tag, which can be moved; name it by its digest".to_owned(),
        );
    }
    match facts {
        Some(facts) => out.extend(of_facts(policy, facts, now)),
        None => out.extend(rules_on_facts(policy).map(|rule| {
            let why = "not known: the image's configuration could not be read".to_owned();
            Breach { rule, why, unknown: true }
        })),
    }
    out
}

/// Every rule of a policy, by its key, in the policy's order.
pub fn rules(policy: &ImagePolicy) -> Vec<String> {
    let named = [("registries", !policy.registries.is_empty()), ("digest_required", policy.digest_required)];
    let named = named.into_iter().filter(|(_, asked)| *asked).map(|(rule, _)| rule.to_owned());
    named.chain(rules_on_facts(policy)).collect()
}

/// An image with the configurations of all of its platforms, held against a policy. What is wrong with some of them only is
/// told with the platform. Without any configuration nothing of it is known.
pub fn verdict(policy: &ImagePolicy, image: &str, facts: Option<&[ImageFacts]>, now: Millis) -> ImageVerdict {
    let all = facts.unwrap_or_default();
    let mut breaches: Vec<Breach> = match all {
        [] => check(policy, image, None, now),
        [first, ..] => check(policy, image, Some(first), now),
    };
    if all.len() > 1 {
        let each: Vec<(&ImageFacts, Vec<Breach>)> =
            all.iter().map(|one| (one, check(policy, image, Some(one), now))).collect();
        breaches.retain(|breach| each.iter().all(|(_, found)| found.contains(breach)));
        let common = breaches.clone();
        for (one, found) in each {
            let own = found.into_iter().filter(|breach| !common.contains(breach));
            let platform = shown(&one.platform.to_string());
            breaches.extend(own.map(|b| Breach { why: format!("{platform}: {}", b.why), ..b }));
        }
    }
    let passes = breaches.iter().all(|breach| {
        let stance = if breach.unknown { policy.unknown } else { policy.breach };
        stance == Stance::Warn
    });
    ImageVerdict { image: image.to_owned(), digest: None, breaches, passes }
}

/// The rules that look at an image's configuration, by their keys.
fn rules_on_facts(policy: &ImagePolicy) -> impl Iterator<Item = String> {
    let all = [
        ("bases", !policy.bases.is_empty()),
        ("ports_denied", !policy.ports_denied.is_empty()),
        ("no_root", policy.no_root),
        ("age_days_max", policy.age_days_max.is_some()),
    ];
    let fixed = all.into_iter().filter(|(_, asked)| *asked).map(|(rule, _)| rule.to_owned());
    fixed.chain(policy.labels.keys().map(|key| format!("labels.{key}")))
}

fn of_facts(policy: &ImagePolicy, facts: &ImageFacts, now: Millis) -> Vec<Breach> {
    let mut out = Vec::new();
    let mut add =
        |rule: &str, why: String, unknown: bool| out.push(Breach { rule: rule.to_owned(), why, unknown });
    let stands_on = |layers: &[Digest]| !layers.is_empty() && facts.layers.starts_with(layers);
    if !policy.bases.is_empty() && !policy.bases.iter().any(|base| stands_on(&base.layers)) {
        let names: Vec<&str> = policy.bases.iter().map(|base| base.name.as_str()).collect();
        let lowest = facts.layers.first().map_or("it has no layers", |layer| layer.short());
        let why = format!("it is not built upon {} (its lowest layer: {lowest})", shown(&names.join(", ")));
        add("bases", why, false);
    }
    let denied: Vec<String> =
        facts.ports.iter().filter(|port| policy.ports_denied.contains(port)).map(u16::to_string).collect();
    if !denied.is_empty() {
        let noun = if denied.len() == 1 { "port" } else { "ports" };
        add("ports_denied", format!("it exposes {noun} {}", shown(&denied.join(", "))), false);
    }
    if policy.no_root && is_root(&facts.user) {
        let user = match facts.user.as_str() {
            "" => "it names no user, and so runs as root".to_owned(),
            user => format!("it runs as {}", shown(user)),
        };
        add("no_root", user, false);
    }
    if let Some(most) = policy.age_days_max {
        match facts.created {
            None => {
                add("age_days_max", "not known: the image does not tell when it was made".to_owned(), true);
            }
            Some(at) if at > now.plus(AHEAD_MS) => {
                add(
                    "age_days_max",
                    format!("not known: it says it was made on {}, still to come", day(at)),
                    true,
                );
            }
            Some(at) if now.since(at) > u64::from(most).saturating_mul(DAY_MS) => {
                let age = count(now.since(at) / DAY_MS, "day");
                let why = format!("it was made on {}, {age} ago; at most {most} are allowed", day(at));
                add("age_days_max", why, false);
            }
            Some(_) => {}
        }
    }
    for (key, want) in &policy.labels {
        let rule = format!("labels.{key}");
        match facts.labels.get(key).map(String::as_str) {
            None => add(&rule, format!("it has no label {}", shown(key)), false),
            Some("") if want == "*" => add(&rule, format!("its label {} is empty", shown(key)), false),
            Some(have) if want != "*" && have != want => {
                add(&rule, format!("it is {}, not {}", shown(have), shown(want)), false);
            }
            Some(_) => {}
        }
    }
    out
}

/// A value of an image or a policy, safe and short enough to stand in a sentence.
fn shown(text: &str) -> String {
    fit(&safe(text), VALUE_MAX).into_owned()
}

fn day(at: Millis) -> String {
    rfc3339(at).get(..10).unwrap_or_default().to_owned()
}

/// Whether `User` (`NAME|NUMBER[:GROUP]`, image specification) means root. Docker reads numbers as Go does: `+0` and `00`, too.
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default().trim();
    name.is_empty() || name == "root" || name.parse::<i64>() == Ok(0)
}

/// The registry that a reference names: what stands before the first `/` if it looks like a host, else Docker's own
/// (distribution/reference, `splitDockerDomain`).
pub fn registry_of(image: &str) -> &str {
    let first = image.split_once('/').map(|(first, _)| first);
    own_name(first.filter(|first| is_address(first)).unwrap_or(HUB[0]))
}

fn has_digest(image: &str) -> bool {
    image.split_once('@').is_some_and(|(_, digest)| digest.parse::<Digest>().is_ok())
}

/// Whether a text is like a pattern in which `*` stands for any text. Hosts are compared without regard to case.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::Base;
    use proptest::prelude::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn strict() -> ImagePolicy {
        ImagePolicy {
            registries: vec!["*.corp.example".to_owned(), "r.example:5000".to_owned()],
            bases: vec![Base { name: "debian".to_owned(), layers: vec![Digest::of(b"a"), Digest::of(b"b")] }],
            ports_denied: vec![22, 23],
            no_root: true,
            labels: [("owner", "*"), ("tier", "gold")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            age_days_max: Some(90),
            digest_required: true,
            ..ImagePolicy::default()
        }
    }

    fn good() -> (String, ImageFacts) {
        let facts = ImageFacts {
            created: Some(Millis(NOW.0 - 1)),
            user: "app".to_owned(),
            ports: vec![80],
            labels: [("owner", "feed"), ("tier", "gold")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            layers: vec![Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")],
            ..ImageFacts::default()
        };
        (format!("r.example:5000/feed/web@{}", Digest::of(b"x")), facts)
    }

    fn rules(found: &[Breach]) -> Vec<(&str, bool)> {
        found.iter().map(|b| (b.rule.as_str(), b.unknown)).collect()
    }

    #[test]
    fn every_broken_rule_is_told_with_its_values() {
        let (image, facts) = good();
        assert_eq!(check(&strict(), &image, Some(&facts), NOW), []);
        let bad = ImageFacts {
            created: Some(Millis(NOW.0 - 91 * 86_400_000)),
            user: "0:0".to_owned(),
            ports: vec![22, 80],
            labels: [("tier".to_owned(), "lead\u{1b}[2J".to_owned())].into(),
            layers: vec![Digest::of(b"b"), Digest::of(b"a")],
            ..ImageFacts::default()
        };
        let found = check(&strict(), "feed/web:1", Some(&bad), NOW);
        let keys = ["registries", "digest_required", "bases", "ports_denied", "no_root", "age_days_max"];
        let keys = keys.into_iter().chain(["labels.owner", "labels.tier"]).map(|k| (k, false));
        assert_eq!(rules(&found), keys.collect::<Vec<_>>());
        let why: Vec<&str> = found.iter().map(|b| b.why.as_str()).collect();
        assert_eq!(why[0], "it comes from docker.io; allowed are *.corp.example, r.example:5000");
        assert_eq!(why[5], "it was made on 2026-10-16, 91 days ago; at most 90 are allowed");
        assert_eq!(why[7], r"it is lead\e[2J, not gold");
    }

    #[test]
    fn what_is_not_known_is_said_and_does_not_pass() {
        let (image, facts) = good();
        let none = check(&strict(), &image, None, NOW);
        let keys = ["bases", "ports_denied", "no_root", "age_days_max", "labels.owner", "labels.tier"];
        assert_eq!(rules(&none), keys.map(|k| (k, true)));
        for created in [None, Some(Millis(NOW.0 + 2 * 86_400_000))] {
            let facts = ImageFacts { created, ..facts.clone() };
            assert_eq!(rules(&check(&strict(), &image, Some(&facts), NOW)), [("age_days_max", true)]);
        }
        assert_eq!(check(&ImagePolicy::default(), "x", None, NOW), []);
        assert!(!ImagePolicy::default().needs_facts() && strict().needs_facts());
    }

    #[test]
    fn each_platform_of_an_image_must_pass() {
        let (image, facts) = good();
        let arm = crate::model::oci::Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            variant: None,
        };
        let bad = ImageFacts { user: String::new(), platform: arm, ..facts.clone() };
        let both = verdict(&strict(), &image, Some(&[facts.clone(), bad.clone()]), NOW);
        assert_eq!(rules(&both.breaches), [("no_root", false)]);
        assert!(
            !both.passes && both.breaches[0].why.starts_with("linux/arm64: it names no user"),
            "{both:?}"
        );
        let all = verdict(&strict(), &image, Some(&[bad.clone(), bad]), NOW);
        assert_eq!(all.sentence(), "no_root: it names no user, and so runs as root");
        assert!(verdict(&strict(), &image, Some(&[facts.clone(), facts.clone()]), NOW).passes);
    }

    #[test]
    fn what_is_not_known_passes_only_where_the_policy_says_so() {
        let (image, facts) = good();
        let lax = |breach, unknown| ImagePolicy { breach, unknown, ..strict() };
        let bad = [ImageFacts { user: String::new(), ..facts }];
        for (breach, unknown, passes) in [
            (Stance::Refuse, Stance::Refuse, (false, false)),
            (Stance::Warn, Stance::Refuse, (true, false)),
            (Stance::Refuse, Stance::Warn, (false, true)),
        ] {
            let policy = lax(breach, unknown);
            let found = (verdict(&policy, &image, Some(&bad), NOW), verdict(&policy, &image, None, NOW));
            assert_eq!((found.0.passes, found.1.passes), passes, "{breach:?} {unknown:?}");
            assert!(
                !found.0.breaches.is_empty() && !found.1.breaches.is_empty(),
                "they are told in any case"
            );
        }
        assert_eq!(crate::plan::image_policy::rules(&strict()).len(), 8);
    }

    #[test]
    fn root_and_registries_by_all_their_names() {
        for user in ["", "root", "0", "00", "+0", "0:1000", "root:app", ":5"] {
            assert!(is_root(user), "{user:?}");
        }
        assert!(["app", "1000", "1000:0", "rooted"].iter().all(|user| !is_root(user)));
        let of = ["nginx", "a/b", "localhost/x", "r.example/x:1", "h:5000/x", "index.docker.io/library/x"];
        assert_eq!(
            of.map(registry_of),
            ["docker.io", "docker.io", "localhost", "r.example", "h:5000", "docker.io"]
        );
        assert!(like("*.corp.example", "HUB.corp.example") && like("*", "x") && like("a*c*e", "abcde"));
        assert!(!like("corp.example", "evil-corp.example") && !like("a*b", "a") && !like("ab*ba", "aba"));
    }

    #[test]
    fn a_base_is_the_lowest_layers_in_their_order() {
        let (image, facts) = good();
        let policy = ImagePolicy {
            bases: vec![Base { name: "nothing".to_owned(), layers: Vec::new() }],
            ..ImagePolicy::default()
        };
        assert_eq!(rules(&check(&policy, &image, Some(&facts), NOW)), [("bases", false)]);
    }

    proptest! {
        #[test]
        fn no_reference_breaks_it_and_nothing_hostile_leaves(image in any::<String>(), user in any::<String>()) {
            let facts = ImageFacts { user, ..ImageFacts::default() };
            for breach in check(&strict(), &image, Some(&facts), NOW) {
                prop_assert!(!breach.why.chars().any(crate::base::text::is_hostile));
            }
        }

        #[test]
        fn a_stricter_policy_never_passes_more(days in 0u32..200, age in 0i64..200) {
            let facts = ImageFacts { created: Some(Millis(NOW.0 - age * 86_400_000)), ..ImageFacts::default() };
            let with = |most| {
                let policy = ImagePolicy { age_days_max: Some(most), ..ImagePolicy::default() };
                check(&policy, "x", Some(&facts), NOW).len()
            };
            prop_assert!(with(days) >= with(days + 1));
            prop_assert_eq!(with(days) == 0, age <= i64::from(days));
        }
    }
}
