//! The documents: they name what is there, the terms are explained, and nothing private is written down.

use std::collections::BTreeSet;

use regex::Regex;

use crate::source::Source;
use crate::{files, none, sources, text_of};

/// Paths of one machine that no file may name. (In two parts, so that this file does not.)
const PRIVATE: &[&str] = &[concat!("/wo", "rk/"), concat!("/tmp", "/lab"), concat!("/ro", "ot/")];

/// Registries that files may name: reserved example names, and the public one that short names mean.
const REGISTRIES: &[&str] = &["localhost", "docker.io", "index.docker.io", "ghcr.io"];

/// The parts of the text within backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split("```").step_by(2).flat_map(|t| t.split('`').skip(1).step_by(2)).collect()
}

/// Lines that name a machine's private path or a registry that is no example, as `path:line: what`.
fn private(path: &str, text: &str) -> Vec<String> {
    let image =
        Regex::new(r"\b((?:[a-z0-9-]+\.)+[a-z]{2,})(?::\d+)?/[a-z0-9._/-]+(?::[a-z0-9]|@sha256)").unwrap();
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_.-".contains(c));
    let mut out = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for name in PRIVATE {
            if line.match_indices(name).any(|(at, _)| !word(line[..at].chars().next_back())) {
                out.push(format!("{path}:{}: names the private path {name}", i + 1));
            }
        }
        for host in image.captures_iter(line).map(|c| c[1].to_owned()) {
            if !REGISTRIES.contains(&host.as_str())
                && !host.ends_with(".example")
                && !host.ends_with("example.com")
            {
                out.push(format!("{path}:{}: names the registry {host}", i + 1));
            }
        }
    }
    out
}

#[test]
fn nothing_private_is_written_down() {
    let all = files();
    let texts = all.iter().filter(|(path, _)| path != "Cargo.lock");
    none(texts.flat_map(|(path, bytes)| private(path, &String::from_utf8_lossy(bytes))));
    let planted = format!("dir = \"{}x\"\nimage: hub.{}/a/b:1\nfeed{}er", PRIVATE[0], "corp.net", PRIVATE[0]);
    assert_eq!(private("x", &planted).len(), 2, "the check itself: {:?}", private("x", &planted));
    let from = "registry+https://github.com/rust-lang/crates.io-index";
    let lock: toml::Table = text_of("Cargo.lock").parse().expect("Cargo.lock");
    for package in lock["package"].as_array().expect("packages") {
        let source = package.get("source").and_then(toml::Value::as_str);
        assert!(source.is_none_or(|s| s == from), "Cargo.lock: {} comes from {source:?}", package["name"]);
    }
}

#[test]
fn the_changelog_has_the_version() {
    let manifest: toml::Table = text_of("Cargo.toml").parse().expect("Cargo.toml");
    let version = manifest["package"]["version"].as_str().expect("a version");
    let heading = format!("## {version}");
    assert!(
        text_of("CHANGELOG.md").lines().any(|l| l == heading || l.starts_with(&format!("{heading} "))),
        "CHANGELOG.md has no section `{heading}`"
    );
}

/// Every state, verb and sort that a `fn word` gives.
fn shown_words(sources: &[Source]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for source in
        sources.iter().filter(|s| s.path.starts_with("src/model/") || s.path.starts_with("src/view/"))
    {
        for f in source.functions().iter().filter(|f| f.name == "word") {
            let inside = |line: usize| line >= f.line && line < f.line + f.lines + 2;
            out.extend(source.strings.iter().filter(|(line, _)| inside(*line)).map(|(_, s)| s.clone()));
        }
    }
    out
}

#[test]
fn every_word_on_the_screen_is_explained() {
    let terms = text_of("docs/TERMS.md");
    let rows: Vec<&str> = terms.lines().filter_map(|l| l.strip_prefix("| ")?.split(" | ").next()).collect();
    let explained: BTreeSet<&str> = rows.iter().flat_map(|r| r.split(", ")).collect();
    let words = shown_words(&sources());
    assert!(words.len() > 30, "only {words:?} were found: the check looks in the wrong place");
    none(
        words
            .iter()
            .filter(|w| !explained.contains(w.as_str()))
            .map(|w| format!("docs/TERMS.md: `{w}` is shown and not explained")),
    );
}

#[test]
fn words_that_we_do_not_use_are_not_shown() {
    let terms = text_of("docs/TERMS.md");
    let (_, section) = terms.split_once("## Words that we do not use").expect("the section");
    let not: Vec<&str> = section.lines().filter_map(|l| l.strip_prefix("| ")?.split(" | ").next()).collect();
    let not: Vec<&str> = not.into_iter().filter(|w| *w != "not").flat_map(|w| w.split(", ")).collect();
    assert!(not.len() > 3, "{not:?}");
    let pattern = Regex::new(&format!(r"(?i)\b({})s?\b", not.join("|"))).unwrap();
    let ours = |s: &&Source| {
        ["src/view/", "src/tui/", "src/cli/", "src/plan/"].iter().any(|p| s.path.starts_with(p))
    };
    let mut found = Vec::new();
    for source in sources().iter().filter(ours) {
        let shown =
            source.strings.iter().filter(|(line, text)| *line < source.tests_from() && text.contains(' '));
        found.extend(shown.filter(|(_, text)| pattern.is_match(text)).map(|(line, text)| {
            format!("{}:{line}: {text:?} uses a word that docs/TERMS.md rules out", source.path)
        }));
    }
    none(found);
}

#[test]
fn documents_name_what_is_there() {
    let all: Vec<String> = files().into_iter().map(|(path, _)| path).collect();
    let place =
        Regex::new(r"^(?:src|tests|docs|themes|fixtures|examples|benches|\.ci)/[A-Za-z0-9_./-]*$").unwrap();
    let mut missing = Vec::new();
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/TERMS.md", "docs/cli.md", "docs/json.md"]
    {
        let text = text_of(document);
        for name in quoted(&text).into_iter().filter(|q| place.is_match(q)) {
            let folder = format!("{}/", name.trim_end_matches('/'));
            if !all.iter().any(|path| path == name || path.starts_with(&folder)) {
                missing.push(format!("{document}: there is no `{name}`"));
            }
        }
    }
    none(missing);
}

/// A section of ARCHITECTURE.md without its heading.
fn section(name: &str) -> String {
    let text = text_of("ARCHITECTURE.md");
    let (_, after) =
        text.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no section {name}"));
    after.split("\n## ").next().unwrap_or(after).to_owned()
}

#[test]
fn the_architecture_is_short_and_its_tests_exist() {
    let lines = text_of("ARCHITECTURE.md").lines().count();
    assert!(lines < 200, "ARCHITECTURE.md has {lines} lines, fewer than 200 can be read at once");
    let names: BTreeSet<String> = sources().iter().flat_map(Source::functions).map(|f| f.name).collect();
    let section = section("Invariants");
    let rows: Vec<&str> = section.split("\n- ").skip(1).collect();
    assert!(rows.len() >= 10, "{} invariants", rows.len());
    let test = Regex::new(r"^[a-z][a-z0-9_]{7,}$").unwrap();
    let mut wrong = Vec::new();
    for row in rows {
        let tests: Vec<&str> =
            quoted(row).into_iter().filter(|q| test.is_match(q) && q.contains('_')).collect();
        if tests.is_empty() {
            wrong.push(format!("names no test: {row}"));
        }
        wrong
            .extend(tests.iter().filter(|t| !names.contains(**t)).map(|t| format!("there is no test `{t}`")));
    }
    none(wrong);
}

#[test]
fn bounds_in_the_architecture_are_those_of_the_code() {
    let code: String = sources().into_iter().filter(|s| s.path.starts_with("src/")).map(|s| s.code).collect();
    let bound = Regex::new(r"^([A-Z][A-Z0-9_]+) = (.+)$").unwrap();
    let text = text_of("ARCHITECTURE.md");
    let named: Vec<(String, String)> = quoted(&text)
        .iter()
        .filter_map(|q| bound.captures(q).map(|c| (c[1].to_owned(), c[2].to_owned())))
        .collect();
    assert!(named.len() > 5, "{named:?}");
    let says = |name: &str, value: &str| {
        let pattern = format!(r"const {name}: [^=]+ = {};", regex::escape(value));
        Regex::new(&pattern).unwrap().is_match(&code)
    };
    let wrong = named.iter().filter(|(name, value)| !says(name, value));
    none(wrong.map(|(name, value)| format!("ARCHITECTURE.md: the code does not say `{name} = {value}`")));
}
