//! Which repositories and tags a rule wants, and what they are called at its targets.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Regex, RegexBuilder};
use semver::{Version, VersionReq};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{REPOSITORY_MAX, Repository, Tag};
use crate::model::replication::{Filter, On, Pattern, Rule};

/// The largest compiled regular expression, in bytes: a pattern such as `(a{999}){999}` is refused instead of taking memory.
const REGEX_MAX: usize = 1 << 20;

/// What one rule wants, worked out once from its filters and its prefix.
#[derive(Clone, Debug)]
pub struct Selector {
    repositories: Vec<Test>,
    tags: Vec<Test>,
    prefix: Option<Repository>,
}

#[derive(Clone, Debug)]
struct Test {
    exclude: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(GlobMatcher),
    Regex(Regex),
    Semver(VersionReq),
}

impl Selector {
    /// The selector of a rule.
    ///
    /// # Errors
    /// `Invalid` when a pattern cannot be understood: which filter (counted from 1), what is wrong and where.
    pub fn of(rule: &Rule) -> Outcome<Selector> {
        let mut selector =
            Selector { repositories: Vec::new(), tags: Vec::new(), prefix: rule.prefix.clone() };
        for (i, filter) in rule.filters.iter().enumerate() {
            let matcher = compile(filter).map_err(|fault| {
                fault.because(format!("filter {} of rule {}, {}", i + 1, rule.name, words(filter)))
            })?;
            let test = Test { exclude: filter.exclude, matcher };
            match filter.on {
                On::Repository => selector.repositories.push(test),
                On::Tag => selector.tags.push(test),
            }
        }
        Ok(selector)
    }

    /// True when the rule wants something of this repository, as the source calls it.
    pub fn wants_repository(&self, repository: &Repository) -> bool {
        wants(&self.repositories, repository.as_str())
    }

    /// True when the rule wants this tag, in a repository that it wants.
    pub fn wants_tag(&self, tag: &Tag) -> bool {
        wants(&self.tags, tag.as_str())
    }

    /// What a repository of the source is called at the targets.
    ///
    /// # Errors
    /// `Invalid` when it is too long with the prefix before it ([`REPOSITORY_MAX`]).
    pub fn at_target(&self, repository: &Repository) -> Outcome<Repository> {
        let Some(prefix) = &self.prefix else { return Ok(repository.clone()) };
        let name = format!("{prefix}/{repository}");
        if name.len() > REPOSITORY_MAX {
            let why = format!("{repository} has {} bytes with the prefix {prefix} before it", name.len());
            return Err(Fault::new(Kind::Invalid, why).hint(format!(
                "names have at most {REPOSITORY_MAX} bytes: choose a shorter prefix, or leave it out by a filter"
            )));
        }
        name.parse()
    }

    /// What a repository of the targets is called at the source; none when it lies outside of the prefix and so is no
    /// business of the rule.
    pub fn at_source(&self, repository: &Repository) -> Option<Repository> {
        match &self.prefix {
            None => Some(repository.clone()),
            Some(prefix) => {
                let rest = repository.as_str().strip_prefix(prefix.as_str())?.strip_prefix('/')?;
                rest.parse().ok()
            }
        }
    }
}

/// Repositories that a rule's filters name in full: all that can be known where a registry lists none.
pub fn named(rule: &Rule) -> Vec<Repository> {
    let of = |f: &Filter| match &f.pattern {
        Pattern::Glob(name) if f.on == On::Repository && !f.exclude => name.parse().ok(),
        _ => None,
    };
    rule.filters.iter().filter_map(of).collect()
}

/// The last test that matches decides; what none matches is wanted unless the first test includes.
fn wants(tests: &[Test], name: &str) -> bool {
    let otherwise = tests.first().is_none_or(|t| t.exclude);
    tests.iter().rev().find(|t| t.matcher.matches(name)).map_or(otherwise, |t| !t.exclude)
}

impl Matcher {
    fn matches(&self, name: &str) -> bool {
        match self {
            Matcher::Glob(glob) => glob.is_match(name),
            Matcher::Regex(regex) => regex.is_match(name),
            Matcher::Semver(wanted) => {
                let version = name.strip_prefix(['v', 'V']).unwrap_or(name);
                Version::parse(version).is_ok_and(|v| wanted.matches(&v))
            }
        }
    }
}

/// `tag glob "v1*"`: a filter as a fault names it.
fn words(filter: &Filter) -> String {
    let on = match filter.on {
        On::Repository => "repository",
        On::Tag => "tag",
    };
    match &filter.pattern {
        Pattern::Glob(text) => format!("{on} glob {text:?}"),
        Pattern::Regex(text) => format!("{on} regex {text:?}"),
        Pattern::Semver(text) => format!("{on} semver {text:?}"),
    }
}

fn compile(filter: &Filter) -> Outcome<Matcher> {
    let (Pattern::Glob(text) | Pattern::Regex(text) | Pattern::Semver(text)) = &filter.pattern;
    if text.trim().is_empty() {
        return Err(wrong("it is empty").hint("leave the filter out to take everything"));
    }
    match (&filter.pattern, filter.on) {
        (Pattern::Glob(text), _) => glob(text).map(Matcher::Glob),
        (Pattern::Regex(text), _) => regex(text).map(Matcher::Regex),
        (Pattern::Semver(text), On::Tag) => semver(text).map(Matcher::Semver),
        (Pattern::Semver(_), On::Repository) => {
            Err(wrong("a repository's path is not a version").hint("use semver with tags only"))
        }
    }
}

fn wrong(why: impl Into<String>) -> Fault {
    Fault::new(Kind::Invalid, why)
}

/// Where a pattern goes wrong: the character after the longest beginning that is right in itself, counted from 1.
fn wrong_from(text: &str, is_right: impl Fn(&str) -> bool) -> usize {
    let ends = text.char_indices().map(|(i, _)| i).enumerate().skip(1);
    ends.filter(|(_, i)| is_right(&text[..*i])).last().map_or(1, |(n, _)| n + 1)
}

fn glob(text: &str) -> Outcome<GlobMatcher> {
    let build = |text: &str| GlobBuilder::new(text).literal_separator(true).build();
    let glob = build(text).map_err(|e| {
        let from = wrong_from(text, |t| build(t).is_ok());
        wrong(format!("{}, from character {from} on", e.kind()))
    })?;
    Ok(glob.compile_matcher())
}

fn regex(text: &str) -> Outcome<Regex> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_MAX).build();
    let said = |e: regex::Error| match e {
        // The crate draws the pattern with a caret below; that is put into words.
        regex::Error::Syntax(drawn) => {
            let what = drawn.lines().rev().find_map(|l| l.strip_prefix("error: "));
            let caret = drawn.lines().find(|l| l.contains('^') && l.trim_matches([' ', '^']).is_empty());
            let at = caret.and_then(|l| l.find('^')).and_then(|column| column.checked_sub(3));
            let place = at.map_or_else(String::new, |n| format!(", at character {n}"));
            wrong(format!("{}{place}", what.unwrap_or("it is not a regular expression")))
        }
        other => wrong(other.to_string()),
    };
    // First alone, so that `a)|(b` does not become right by what is put around it, and places are counted right.
    build(text).map_err(said)?;
    build(&format!(r"\A(?:{text})\z"))
        .map_err(|_| wrong("it does not stand alone").hint("leave out comments and a flag that allows them"))
}

fn semver(text: &str) -> Outcome<VersionReq> {
    VersionReq::parse(text).map_err(|e| {
        let from = wrong_from(text, |t| VersionReq::parse(t).is_ok());
        wrong(format!("{e}, from character {from} on")).hint("write it as >=1.2, <2")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(filters: &[(On, bool, Pattern)], prefix: Option<&str>) -> Rule {
        let json = r#"{"name": "r", "source": "bj", "targets": ["sh"]}"#;
        let mut rule: Rule = serde_json::from_str(json).unwrap();
        rule.prefix = prefix.map(|p| p.parse().unwrap());
        rule.filters = filters
            .iter()
            .map(|(on, exclude, pattern)| Filter { on: *on, pattern: pattern.clone(), exclude: *exclude })
            .collect();
        rule
    }

    fn tags(filters: &[(bool, Pattern)]) -> Selector {
        let all: Vec<_> = filters.iter().map(|(exclude, p)| (On::Tag, *exclude, p.clone())).collect();
        Selector::of(&rule(&all, None)).unwrap()
    }

    fn glob(text: &str) -> Pattern {
        Pattern::Glob(text.into())
    }

    fn regex(text: &str) -> Pattern {
        Pattern::Regex(text.into())
    }

    fn semver(text: &str) -> Pattern {
        Pattern::Semver(text.into())
    }

    fn wanted<'a>(selector: &Selector, tags: &[&'a str]) -> Vec<&'a str> {
        tags.iter().filter(|t| selector.wants_tag(&t.parse().unwrap())).copied().collect()
    }

    #[test]
    fn the_last_that_matches_decides_and_the_first_says_what_else_is_in() {
        let all = ["v1", "v2", "v2-rc1", "latest"];
        assert_eq!(wanted(&tags(&[]), &all), all);
        assert_eq!(wanted(&tags(&[(false, glob("v*"))]), &all), ["v1", "v2", "v2-rc1"]);
        assert_eq!(wanted(&tags(&[(true, glob("*-rc*"))]), &all), ["v1", "v2", "latest"]);
        let some = [(false, glob("v*")), (true, glob("*-rc*")), (false, glob("v2-rc1"))];
        assert_eq!(wanted(&tags(&some), &all), ["v1", "v2", "v2-rc1"]);
        assert_eq!(wanted(&tags(&some[..2]), &all), ["v1", "v2"]);
        assert_eq!(wanted(&tags(&[(true, glob("*")), (false, regex("v2|lat"))]), &all), ["v2"]);
    }

    #[test]
    fn a_star_stays_within_a_part_of_the_path() {
        let of = |pattern: &str, name: &str| {
            let rule = rule(&[(On::Repository, false, glob(pattern))], None);
            Selector::of(&rule).unwrap().wants_repository(&name.parse().unwrap())
        };
        assert!(of("feed/*", "feed/web") && !of("feed/*", "feed/web/api") && !of("feed/*", "feed"));
        assert!(of("feed/**", "feed/web") && of("feed/**", "feed/web/api") && of("**/api", "feed/web/api"));
        assert!(
            of("{feed,ads}/w?b", "ads/web") && !of("{feed,ads}/w?b", "ads/wb") && !of("feed", "feed/web")
        );
        assert!(of("feed/[a-f]*", "feed/api") && !of("feed/[a-f]*", "feed/web"));
    }

    #[test]
    fn a_regular_expression_is_for_the_whole_name() {
        let all = ["web", "web2", "myweb"];
        assert_eq!(wanted(&tags(&[(false, regex("web"))]), &all), ["web"]);
        assert_eq!(wanted(&tags(&[(false, regex("we|web2"))]), &all), ["web2"]);
        assert_eq!(wanted(&tags(&[(false, regex("(?i)WEB"))]), &all), ["web"]);
    }

    #[test]
    fn versions_are_those_of_the_specification_with_or_without_a_v() {
        let all = ["1.2.0", "v1.9.9", "2.0.0", "1.3.0-rc.1", "1.3", "latest", "V1.5.0", "vv1.5.0"];
        assert_eq!(wanted(&tags(&[(false, semver(">=1.2, <2"))]), &all), ["1.2.0", "v1.9.9", "V1.5.0"]);
        assert_eq!(wanted(&tags(&[(false, semver(">=1.3.0-rc.0, <1.4"))]), &all), ["1.3.0-rc.1"]);
    }

    #[test]
    fn a_bad_pattern_is_named_with_its_fault_and_its_place() {
        let said = |pattern: Pattern, on: On| {
            let rule = rule(&[(On::Tag, false, glob("*")), (on, true, pattern)], None);
            Selector::of(&rule).unwrap_err().to_string()
        };
        let bad = [
            (
                said(glob("v[1"), On::Tag),
                r#"filter 2 of rule r, tag glob "v[1": unclosed character class; missing ']', from character 2 on"#,
            ),
            (
                said(glob("{a,b}/x}"), On::Repository),
                "filter 2 of rule r, repository glob \"{a,b}/x}\": unopened alternate group; missing '{' (maybe escape '}' with '[}]'?), from character 8 on",
            ),
            (
                said(regex("a(b"), On::Tag),
                r#"filter 2 of rule r, tag regex "a(b": unclosed group, at character 2"#,
            ),
            (
                said(regex("a)|(b"), On::Tag),
                r#"filter 2 of rule r, tag regex "a)|(b": unopened group, at character 2"#,
            ),
            (said(regex(" "), On::Tag), r#"filter 2 of rule r, tag regex " ": it is empty"#),
            (
                said(semver(">=1.2, <x"), On::Tag),
                r#"filter 2 of rule r, tag semver ">=1.2, <x": unexpected character 'x' while parsing major version number, from character 6 on"#,
            ),
            (
                said(semver("1"), On::Repository),
                r#"filter 2 of rule r, repository semver "1": a repository's path is not a version"#,
            ),
        ];
        for (is, wanted) in bad {
            assert_eq!(is, wanted);
        }
        assert!(said(regex("(a{999}){999}"), On::Tag).contains("size limit"));
        assert!(said(regex("(?x)a # b"), On::Tag).contains("does not stand alone"));
    }

    #[test]
    fn a_prefix_that_makes_the_name_too_long_is_refused() {
        let selector = Selector::of(&rule(&[], Some("hq"))).unwrap();
        let fits: Repository = "a".repeat(REPOSITORY_MAX - 3).parse().unwrap();
        assert_eq!(selector.at_target(&fits).unwrap().as_str().len(), REPOSITORY_MAX);
        let long: Repository = "a".repeat(REPOSITORY_MAX - 2).parse().unwrap();
        assert!(selector.at_target(&long).unwrap_err().to_string().contains("256 bytes"));
        assert_eq!(selector.at_source(&"hqx/web".parse().unwrap()), None);
        assert_eq!(selector.at_source(&"hq".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn names_come_back_from_the_targets(name in "[a-z]{1,5}(/[a-z0-9]{1,5}){0,3}", prefix in "([a-z]{1,4}(/[a-z]{1,4})?)?") {
            let selector = Selector::of(&rule(&[], (!prefix.is_empty()).then_some(prefix.as_str()))).unwrap();
            let name: Repository = name.parse().unwrap();
            let there = selector.at_target(&name).unwrap();
            prop_assert_eq!(selector.at_source(&there), Some(name));
            prop_assert!(there.as_str().starts_with(&prefix));
        }

        #[test]
        fn no_pattern_whatever_breaks_it(text in ".{0,20}", name in "[a-z0-9_][a-z0-9._-]{0,10}") {
            let name: Tag = name.parse().unwrap();
            for pattern in [glob(&text), regex(&text), semver(&text)] {
                if let Ok(selector) = Selector::of(&rule(&[(On::Tag, false, pattern.clone())], None)) {
                    let yes = selector.wants_tag(&name);
                    let not = Selector::of(&rule(&[(On::Tag, true, pattern)], None)).unwrap();
                    prop_assert_eq!(yes, !not.wants_tag(&name), "leaving out is the opposite of taking");
                }
            }
        }
    }
}
