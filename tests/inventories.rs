//! The readers of inventories against the files in `fixtures/inventory`, and against whatever proptest can think of.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

use longshore::base::stamp::rfc3339;
use longshore::model::command::NewHost;
use longshore::spec::inventory::{Format, read};
use proptest::prelude::*;

/// The inventories of a folder of fixtures, by name.
fn fixtures(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/inventory").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e != "txt"))
        .map(|p| (p.clone(), fs::read_to_string(p).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 5, "{} has too few files", folder.display());
    files
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn shown(host: &NewHost) -> String {
    let (config, record) = (&host.config, &host.record);
    let mut line = format!("{} {}", config.id, config.address);
    let mut say = |key: &str, value: Option<String>| {
        line.extend(value.map(|value| format!(" {key}={value}")));
    };
    say("site", record.site.as_ref().map(ToString::to_string));
    say("cluster", record.cluster.as_ref().map(ToString::to_string));
    say("class", record.class.clone());
    say("in_service", record.in_service.map(rfc3339));
    say("disk", record.capacity.disk.map(|n| n.to_string()));
    say("bandwidth", record.capacity.bandwidth.map(|n| n.to_string()));
    say("pids", record.capacity.pids.map(|n| n.to_string()));
    say("cpu_percent", record.capacity.cpu_percent.map(|n| n.to_string()));
    say("tls_dir", config.tls_dir.as_ref().map(|d| d.display().to_string()));
    say("labels", (!record.labels.is_empty()).then(|| format!("{:?}", record.labels)));
    line
}

#[test]
fn valid_inventories_are_understood() {
    for (path, text) in fixtures("valid") {
        let name = name_of(&path);
        let found = read(name, &text, Format::guess(name, &text)).unwrap_or_else(|e| panic!("{e}"));
        let mut lines: Vec<String> = found.hosts.iter().map(shown).collect();
        lines.extend(found.notes.iter().map(ToString::to_string));
        insta::assert_snapshot!(name, lines.join("\n"));
    }
}

/// `LONGSHORE_BLESS=1` writes the expected messages anew; look at the difference before you commit it.
#[test]
fn invalid_inventories_are_refused_with_every_fault() {
    let bless = std::env::var("LONGSHORE_BLESS").is_ok();
    for (path, text) in fixtures("invalid") {
        let name = name_of(&path);
        let got = match read(name, &text, Format::guess(name, &text)) {
            Ok(found) => panic!("{name} was taken: {found:?}"),
            Err(faults) => format!("{faults}\n"),
        };
        assert!(
            got.lines().all(|l| l.starts_with(name) || l.starts_with("    hint") || l.contains(" fault")),
            "{got}"
        );
        let golden = path.with_file_name(format!("{name}.txt"));
        if bless {
            fs::write(&golden, &got).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_else(|e| format!("{}: {e}", golden.display()));
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn formats_are_guessed_by_name_and_content() {
    for (path, text) in fixtures("valid") {
        let by_name = Format::guess(name_of(&path), "");
        assert_eq!(Format::guess("inventory", &text), by_name, "{}", path.display());
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    for (path, text) in fixtures("valid") {
        let format = Format::guess(name_of(&path), &text);
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let other = read("windows", &windows, format).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(other.hosts, read("plain", &text, format).unwrap().hosts, "{}", path.display());
    }
}

#[test]
fn hostile_inventories_end_soon_and_in_words() {
    let wide = "h[0:19999]\n".repeat(300);
    assert_eq!(read("wide.ini", &wide, Format::Ini).unwrap().hosts.len(), 20_000);
    let more = read("more.ini", "a[0:19999]\nb[0:19999]\n", Format::Ini).unwrap_err().to_string();
    assert!(more.contains("too many hosts"), "{more}");
    let deep: String = (0..4_000).map(|i| format!("[g{i}:children]\ng{}\n", i + 1)).collect();
    let deep = read("deep.ini", &format!("{deep}[g4000]\nx\n"), Format::Ini).unwrap_err().to_string();
    assert!(deep.contains("too many groups"), "{deep}");
    let nasty =
        read("n\u{1b}.ini", "a\u{1b}[2J b='\u{202e}'\nc ansible_user=\u{9b}x\n", Format::Ini).unwrap_err();
    assert!(!nasty.to_string().chars().any(|c| c != '\n' && longshore::base::text::is_hostile(c)), "{nasty}");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(
        text in any::<String>(),
        ini in "([a-z\\[\\]:=' \"#;\\\\0-9{}]{0,20}\n){0,8}",
        csv in "name,address(,[a-z]{1,5}){0,2}\n([a-z\",;= \n#]{0,12},){0,12}",
        yaml in "all:\n  (hosts|children|vars): ?[a-z{}\\[\\]:, \n&*!0-9]{0,40}",
    ) {
        for text in [text, ini, csv, yaml] {
            for format in [Format::Csv, Format::Ini, Format::Yaml, Format::guess("x", &text)] {
                if let Err(faults) = read("any", &text, format) {
                    prop_assert!(!faults.faults.is_empty());
                }
            }
        }
    }

    #[test]
    fn mutated_inventories_never_panic(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..20, "[a-z:\\-\\[\\]{}=,;'\"#\n 0-9]{0,6}"), 1..5),
    ) {
        let files = fixtures("valid");
        let (path, text) = which.get(&files);
        let mut chars: Vec<char> = text.chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(chars.len() + 1).min(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, put.chars());
        }
        let text: String = chars.into_iter().collect();
        let _ = read("mutated", &text, Format::guess(name_of(path), &text));
    }
}
