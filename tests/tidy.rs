//! The house rules: who may name whom, sizes, first lines, and that the documents say what is there.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use source::Source;

/// Every file of the repository but what is built, with its path from the root.
pub fn files() -> Vec<(String, Vec<u8>)> {
    fn walk(folder: &Path, root: &Path, out: &mut Vec<(String, Vec<u8>)>) {
        let entries = std::fs::read_dir(folder).expect("a folder of the repository");
        for path in entries.map(|e| e.expect("an entry").path()) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && ![".ci", ".gitignore"].contains(&name.as_str());
            if hidden || (folder == root && name == "target") {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, out);
            } else {
                let place = path.strip_prefix(root).expect("beneath the root").to_string_lossy().into_owned();
                out.push((place, std::fs::read(&path).expect("a file of the repository")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}

/// The text of one file of the repository.
pub fn text_of(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Every Rust file of the repository.
pub fn sources() -> Vec<Source> {
    let text = |bytes| String::from_utf8(bytes).expect("source is UTF-8");
    let rust = files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, bytes)| Source::new(&path, &text(bytes))).collect()
}

/// Fails with one line for each breach.
pub fn none<T: std::fmt::Display>(breaches: impl IntoIterator<Item = T>) {
    let lines: Vec<String> = breaches.into_iter().map(|b| b.to_string()).collect();
    assert!(lines.is_empty(), "{} breaches of the house rules:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_file_keeps_the_house_rules() {
    let sources = sources();
    assert!(
        sources.len() > 150,
        "only {} files were found: the check looks in the wrong place",
        sources.len()
    );
    none(sources.iter().flat_map(rules::check));
}

#[test]
fn every_file_belongs_to_the_library() {
    none(rules::unreachable(&sources()));
}

#[test]
fn every_dependency_has_its_place() {
    let manifest: toml::Table = text_of("Cargo.toml").parse().expect("Cargo.toml");
    let wanted: Vec<String> =
        manifest["dependencies"].as_table().expect("a table").keys().map(|k| k.replace('-', "_")).collect();
    let placed: Vec<&str> =
        rules::FOREIGN.iter().map(|(n, _)| *n).filter(|n| !n.starts_with("std::")).collect();
    let missing = wanted.iter().filter(|w| !placed.contains(&w.as_str()));
    none(missing.map(|w| format!("Cargo.toml: `{w}` has no row in rules::FOREIGN")));
    let gone = placed.iter().filter(|p| !wanted.iter().any(|w| w == *p));
    none(gone.map(|p| format!("rules::FOREIGN: `{p}` is no dependency any more")));
}
