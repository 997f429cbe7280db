//! The pool file reader against the files in `fixtures/pool-files`, and against whatever proptest can think of.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

use longshore::model::pool::{ClusterSpec, PoolSpec};
use longshore::spec::{PoolFileFaults, Read, Sources, diff, keys, read_file, read_text, to_compose};
use proptest::prelude::*;

/// The environment that every fixture is read with.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "TAG" => "v7",
        "EMPTY" => "",
        "BOTH" => "environment",
        "REPLICAS" => "3",
        "HOME" => "/home/ann",
        "HOME_OF_CALLER" => "/home/ann",
        _ => return None,
    };
    Some(value.to_owned())
}

/// The files beside every fixture.
fn beside(path: &Path) -> Result<Option<String>, String> {
    let text = match path.to_str() {
        Some("/srv/My Shop/.env") => "FROM_DOTENV=yes\nBOTH=dotenv\nFROM_DOTENV_BARE=bare\n",
        Some("/srv/My Shop/common.env") => "# shared\nSHARED=common\nTAGGED=\"x-${TAG}\"\nHOME_OF_CALLER\n",
        Some("/srv/My Shop/two.env") => "export TWO='2 $TAG'\nSHARED=two\n",
        Some("/srv/My Shop/raw.env") => "RAW='$TAG' # all of it\n",
        Some("/srv/My Shop/broken.env") => "FINE=1\nno variable\nOPEN=\"x\n",
        Some("/srv/My Shop/unreadable.env") => return Err("it cannot be read: permission denied".to_owned()),
        _ => return Ok(None),
    };
    Ok(Some(text.to_owned()))
}

fn read(name: &str, text: &str) -> Result<Read, PoolFileFaults> {
    let sources = Sources { folder: PathBuf::from("/srv/My Shop"), env: &env, read: &beside };
    read_text(name, text, &sources)
}

/// The `.yml` files of a folder of fixtures, by name.
fn fixtures(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pool-files").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "yml"))
        .map(|p| (p.clone(), fs::read_to_string(p).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 5, "{} has too few files", folder.display());
    files
}

/// A model as JSON without what is absent or empty.
fn compact(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    let empty = |v: &Value| match v {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            map.into_iter().map(|(k, v)| (k, compact(v))).filter(|(_, v)| !empty(v)).collect()
        }
        Value::Array(items) => items.into_iter().map(compact).collect(),
        other => other,
    }
}

#[test]
fn valid_files_are_understood() {
    for (path, text) in fixtures("valid") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let read = read(name, &text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read.spec.source, text, "{name}: the text is kept");
        let mut shown = format!("cluster {}\n", read.spec.name);
        for (pool, spec) in &read.spec.pools {
            let json = compact(serde_json::to_value(spec).unwrap());
            shown.push_str(&format!("{pool} {}\n", serde_json::to_string_pretty(&json).unwrap()));
        }
        for warning in &read.warnings {
            shown.push_str(&format!("{warning}\n"));
        }
        insta::assert_snapshot!(name.trim_end_matches(".yml"), shown);
    }
}

/// `LONGSHORE_BLESS=1` writes the expected messages anew; look at the difference before you commit it.
#[test]
fn invalid_files_are_refused_with_every_fault() {
    let bless = std::env::var("LONGSHORE_BLESS").is_ok();
    let mut wrong = String::new();
    for (path, text) in fixtures("invalid") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let got = match read(name, &text) {
            Ok(_) => "the file was taken\n".to_owned(),
            Err(faults) => format!("{faults}\n"),
        };
        let golden = path.with_extension("txt");
        if bless {
            fs::write(&golden, &got).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_else(|e| format!("{}: {e}", golden.display()));
        for line in expected.lines().filter(|l| !got.lines().any(|g| g == *l)) {
            wrong.push_str(&format!("{name}: missing: {line}\n"));
        }
        for line in got.lines().filter(|l| !expected.lines().any(|e| e == *l)) {
            wrong.push_str(&format!("{name}: not expected: {line}\n"));
        }
        if got != expected && wrong.is_empty() {
            wrong.push_str(&format!("{name}: the order of the lines differs\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn valid_files_come_back_from_their_canonical_text() {
    for (path, text) in fixtures("valid") {
        let first = read("first.yml", &text).unwrap().spec;
        let canonical = to_compose(&first);
        let second =
            read("second.yml", &canonical).unwrap_or_else(|e| panic!("{}: {e}\n{canonical}", path.display()));
        assert_eq!(second.spec.name, first.name);
        assert_eq!(second.spec.pools, first.pools, "{}\n{canonical}", path.display());
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    for (path, text) in fixtures("valid") {
        let plain = read("plain.yml", &text).unwrap().spec;
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let other = read("windows.yml", &windows).unwrap_or_else(|e| panic!("{}: {e}", path.display())).spec;
        assert_eq!(other.pools, plain.pools, "{}", path.display());
    }
}

#[test]
fn findings_are_capped_and_counted() {
    let keys: String = (0..2_000).map(|i| format!("k{i}: 1\n")).collect();
    let faults = read("many.yml", &keys).unwrap_err();
    assert_eq!(faults.faults.len(), 501);
    assert!(faults.to_string().contains("1501 more findings are not shown"), "{}", faults.faults[500]);

    let many: String = (0..900).map(|i| format!("  s{i}: {{image: a, container_name: x}}\n")).collect();
    let read = read("warned.yml", &format!("services:\n{many}")).unwrap();
    assert_eq!((read.spec.pools.len(), read.warnings.len()), (900, 501), "warnings never refuse a file");
}

#[test]
fn a_file_is_read_from_the_disk_with_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compose.yml");
    fs::write(
        &path,
        "name: disk\nservices: {web: {image: \"web:${TAG2}\", env_file: a.env, volumes: [\"./x:/x\"]}}\n",
    )
    .unwrap();
    fs::write(folder.path().join(".env"), "TAG2=from-dotenv\n").unwrap();
    fs::write(folder.path().join("a.env"), "A=1\n").unwrap();
    let read = read_file(&path, &|_| None).unwrap();
    let spec = &read.spec.pools[0].1;
    assert_eq!(spec.image, "web:from-dotenv");
    assert_eq!(spec.environment.get("A").map(String::as_str), Some("1"));
    assert_eq!(spec.mounts[0].source, folder.path().join("x").to_str().unwrap());

    fs::write(&path, b"name: \xff\n").unwrap();
    let refused = |path: &Path| read_file(path, &|_| None).unwrap_err().to_string();
    assert!(refused(&path).contains("line 1 is not UTF-8"), "{}", refused(&path));
    assert!(refused(&folder.path().join("none.yml")).contains("no such file"));
    assert!(refused(folder.path()).contains("cannot be read"));
}

#[test]
fn messages_are_safe_to_show() {
    let faults = read("a\u{1b}[2J.yml", "name: \"x\\e]0;t\\a\"\nservices: {\"\\e[2J\": {\"\\u202e\": 1}}\n")
        .unwrap_err();
    let shown = faults.to_string();
    assert!(shown.chars().all(|c| c == '\n' || !longshore::base::text::is_hostile(c)), "{shown:?}");
}

#[test]
fn every_key_is_in_the_documentation() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pool-files.md")).unwrap();
    for table in keys::ALL {
        for (key, _) in table.keys {
            assert!(
                docs.contains(&format!("`{key}`")),
                "docs/pool-files.md does not name `{key}` of {}",
                table.name
            );
        }
    }
}

#[test]
fn the_example_of_the_documentation_is_taken() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pool-files.md")).unwrap();
    let example = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let read = read("example.yml", example).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(read.warnings, []);
}

/// Pools as the reader can make them: what a file cannot say is not generated.
mod made {
    use super::*;
    use longshore::model::placement::{Attribute, Constraint, Operator, Placement};
    use longshore::model::pool::*;
    use proptest::collection::{btree_map, vec};
    use proptest::option;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z]{0,8}", "[^\0]{0,12}", r"[$ {}:#'\\!&*%@`\-\n\t]{0,8}"]
    }

    fn texts() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
        btree_map(prop_oneof!["[A-Z_]{1,6}", "[^\0=<]{1,8}"].prop_map(|k| format!("k{k}")), text(), 0..4)
    }

    fn port() -> impl Strategy<Value = Port> {
        let address = prop_oneof![Just("127.0.0.1".to_owned()), Just("::1".to_owned())];
        let protocol = prop_oneof![Just("tcp"), Just("udp"), Just("sctp")].prop_map(str::to_owned);
        (1u16.., option::of(1u16..), option::of(address), protocol)
            .prop_map(|(target, published, host_ip, protocol)| Port { target, published, host_ip, protocol })
    }

    fn mounts() -> impl Strategy<Value = Vec<Mount>> {
        let one = ("[^\0]{0,6}", "[a-z]{0,5}", any::<bool>(), 0..4);
        vec(one, 0..4).prop_map(|made| {
            let mount = |(i, (path, name, read_only, sort)): (usize, (String, String, bool, i32))| {
                let target = format!("/m{i}");
                let (kind, source) = match sort {
                    0 => (MountKind::Bind, format!("/{path}")),
                    1 => (MountKind::Volume, format!("v{name}")),
                    2 => (MountKind::Volume, String::new()),
                    _ => (MountKind::Tmpfs, String::new()),
                };
                // Of two mounts of one volume both say the same.
                let external = sort == 1 && name.len() % 2 == 0;
                Mount { kind, source, target, read_only, external }
            };
            made.into_iter().enumerate().map(mount).collect()
        })
    }

    fn health() -> impl Strategy<Value = HealthCheck> {
        let test = prop_oneof![
            Just(vec![]),
            Just(vec!["NONE".to_owned()]),
            text().prop_map(|t| vec!["CMD-SHELL".to_owned(), t]),
            vec(text(), 1..4).prop_map(|t| [vec!["CMD".to_owned()], t].concat()),
        ];
        let ms = || option::of(1u64..10_000_000);
        (test, ms(), ms(), option::of(1u32..100), ms()).prop_map(
            |(test, interval_ms, timeout_ms, retries, start_period_ms)| HealthCheck {
                test,
                interval_ms,
                timeout_ms,
                retries,
                start_period_ms,
            },
        )
    }

    fn restart() -> impl Strategy<Value = RestartPolicy> {
        use RestartCondition::{Any, None, OnFailure};
        let condition = prop_oneof![Just(None), Just(OnFailure), Just(Any)];
        (condition, 0u64..1_000_000, option::of(1u32..), 0u64..1_000_000).prop_map(
            |(condition, delay_ms, max_attempts, window_ms)| RestartPolicy {
                condition,
                delay_ms,
                max_attempts,
                window_ms,
            },
        )
    }

    fn resources() -> impl Strategy<Value = Resources> {
        let limits = (option::of(1u64..100_000), option::of(1u64..1 << 50), option::of(1i64..1 << 30));
        let reserved = (option::of(1u64..1 << 50), option::of(1u64..1 << 40));
        (limits, option::of(0u64..=100), option::of(0u64..=100), reserved).prop_map(
            |(limits, c, m, reserved)| {
                let (cpu, memory, pids) = limits;
                // A reservation is a hundredth of the limit, or anything when there is none.
                let part = |share: Option<u64>, limit: Option<u64>| {
                    share.map(|s| limit.unwrap_or(1_000_000) / 100 * s).filter(|n| *n > 0)
                };
                Resources {
                    cpu_limit_milli: cpu,
                    memory_limit: memory,
                    pids_limit: pids,
                    cpu_reserved_milli: part(c, cpu),
                    memory_reserved: part(m, memory),
                    disk_reserved: reserved.0,
                    bandwidth_reserved: reserved.1,
                }
            },
        )
    }

    fn placement() -> impl Strategy<Value = Placement> {
        use longshore::model::placement::{LossRule, OnLoss, Preference, Strategy as Which};
        let strategy = prop_oneof![Just(Which::Spread), Just(Which::Binpack), Just(Which::Random)];
        let weight = prop_oneof![-100..=-1, 1..=100];
        let prefer = vec((constraint(), weight), 0..3).prop_map(|all| {
            all.into_iter().map(|(constraint, weight)| Preference { constraint, weight }).collect()
        });
        let rule = prop_oneof![
            Just(None),
            Just(Some(LossRule::Wait)),
            Just(Some(LossRule::Elsewhere)),
            Just(Some(LossRule::SameClass)),
            Just(Some(LossRule::Never)),
        ];
        let on_loss = (rule, 0u64..10_000_000, 1u32..100).prop_map(|(rule, after_ms, at_once)| OnLoss {
            rule,
            after_ms,
            at_once,
        });
        let on_loss = prop_oneof![Just(OnLoss::default()), on_loss];
        let names = || proptest::collection::btree_set("x[a-z0-9-]{0,5}", 0..3);
        (
            (vec(constraint(), 0..3), vec(attribute(), 0..3), option::of(1u32..100), strategy),
            (names(), prefer, names(), any::<bool>()),
            option::of(prop_oneof![Just("linux/amd64"), Just("linux/arm64/v8")].prop_map(str::to_owned)),
            on_loss,
        )
            .prop_map(|(hosts, (apart, prefer, sites, image_must_be_there), platform, on_loss)| {
                let (constraints, spread, max_per_host, strategy) = hosts;
                Placement {
                    constraints,
                    spread,
                    max_per_host,
                    strategy,
                    apart: apart.iter().map(|name| format!("pay/{name}").parse().unwrap()).collect(),
                    prefer,
                    sites: sites.iter().map(|name| name.parse().unwrap()).collect(),
                    image_must_be_there,
                    platform,
                    on_loss,
                }
            })
    }

    fn attribute() -> impl Strategy<Value = Attribute> {
        prop_oneof![
            Just(Attribute::Hostname),
            Just(Attribute::Site),
            Just(Attribute::Version),
            "[a-zA-Z0-9._/-]{1,6}".prop_map(Attribute::Label),
            "[a-z.]{1,6}".prop_map(Attribute::EngineLabel),
        ]
    }

    fn constraint() -> impl Strategy<Value = Constraint> {
        let one = (attribute(), text(), any::<bool>()).prop_map(|(attribute, value, is)| Constraint {
            attribute,
            operator: if is { Operator::Is } else { Operator::IsNot },
            values: vec![value],
        });
        let many = (attribute(), vec(text(), 1..4), any::<bool>()).prop_map(|(attribute, values, is)| {
            Constraint { attribute, operator: if is { Operator::In } else { Operator::NotIn }, values }
        });
        let order = ("[1-9][0-9]{0,3}[KMG]?", any::<bool>()).prop_map(|(size, more)| Constraint {
            attribute: Attribute::Memory,
            operator: if more { Operator::More } else { Operator::AtMost },
            values: vec![size],
        });
        let pattern = ("[a-z$^.]{1,5}", any::<bool>()).prop_map(|(pattern, is)| Constraint {
            attribute: Attribute::Hostname,
            operator: if is { Operator::Matches } else { Operator::MatchesNot },
            values: vec![pattern],
        });
        prop_oneof![one, many, order, pattern]
    }

    fn process() -> impl Strategy<Value = PoolSpec> {
        let words = || option::of(vec(text(), 0..4));
        (
            words(),
            words(),
            texts(),
            texts(),
            texts(),
            option::of("[a-z0-9]{1,6}(:[0-9]{1,4})?"),
            option::of("/[^\0]{0,8}"),
        )
            .prop_map(
                |(command, entrypoint, environment, labels, pool_labels, user, working_dir)| PoolSpec {
                    command,
                    entrypoint,
                    environment,
                    labels,
                    pool_labels,
                    user,
                    working_dir,
                    ..PoolSpec::default()
                },
            )
    }

    fn networks(pool: &'static str) -> impl Strategy<Value = (Vec<Network>, Option<String>)> {
        let mode = prop_oneof![Just("none"), Just("host"), Just("bridge")];
        let nets = btree_map("[a-z]{1,6}", proptest::collection::btree_set(text(), 0..3), 1..3);
        prop_oneof![
            mode.prop_map(|m| (Vec::new(), Some(m.to_owned()))),
            nets.prop_map(move |nets| {
                let network = |(name, aliases): (String, std::collections::BTreeSet<String>)| {
                    let more = aliases.into_iter().filter(|a| a != pool);
                    let external = name.len() > 3;
                    Network {
                        name,
                        aliases: std::iter::once(pool.to_owned()).chain(more).collect(),
                        external,
                    }
                };
                (nets.into_iter().map(network).collect(), None)
            }),
        ]
    }

    pub fn pool(name: &'static str) -> impl Strategy<Value = PoolSpec> {
        let ports = vec(port(), 0..3).prop_map(|mut ports| {
            let mut seen = std::collections::BTreeSet::new();
            ports.retain(|p| {
                p.published.is_none() || seen.insert((p.published, p.protocol.clone(), p.host_ip.clone()))
            });
            ports
        });
        let numbers = (
            0u32..50,
            option::of(0u32..1),
            option::of(50u32..=REPLICAS_MAX),
            option::of(1u32..100),
            1u32..100,
        );
        let rest = (any::<bool>(), any::<bool>(), 0u64..1_000_000, option::of("SIG[A-Z]{1,5}"));
        (
            (process(), placement()),
            ports,
            mounts(),
            networks(name),
            option::of(health()),
            restart(),
            resources(),
            numbers,
            rest,
        )
            .prop_map(
                |(
                    (process, placement),
                    ports,
                    mounts,
                    (networks, network_mode),
                    healthcheck,
                    restart,
                    resources,
                    numbers,
                    rest,
                )| {
                    let (replicas, min, max, step, update_parallelism) = numbers;
                    let (protect, core, stop_grace_ms, stop_signal) = rest;
                    PoolSpec {
                        image: "r.example:5000/a/b:v1".to_owned(),
                        ports,
                        mounts,
                        networks,
                        network_mode,
                        healthcheck,
                        restart,
                        resources,
                        replicas,
                        limits: Limits { min, max, step },
                        update_parallelism,
                        protect,
                        core,
                        stop_grace_ms,
                        stop_signal,
                        placement,
                        ..process
                    }
                },
            )
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_written_model_reads_back_the_same(web in made::pool("web"), db in made::pool("db")) {
        let name = "shop".parse().unwrap();
        let pools = vec![("web".parse().unwrap(), web), ("db".parse().unwrap(), db)];
        let cluster = ClusterSpec { name, pools, source: String::new() };
        let text = to_compose(&cluster);
        match read("written.yml", &text) {
            Ok(read) => {
                prop_assert_eq!(&read.spec.pools, &cluster.pools, "{}", text);
                for ((_, new), (_, old)) in read.spec.pools.iter().zip(&cluster.pools) {
                    prop_assert!(diff(old, new).is_empty());
                }
            }
            Err(faults) => prop_assert!(false, "{faults}\n{text}"),
        }
    }

    #[test]
    fn a_diff_is_empty_exactly_when_nothing_changed(a in made::pool("web"), b in made::pool("web")) {
        prop_assert_eq!(diff(&a, &b).is_empty(), a == b);
        let one: PoolSpec = PoolSpec { stop_grace_ms: a.stop_grace_ms + 1, ..a.clone() };
        prop_assert_eq!(diff(&a, &one).len(), 1);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), near in "[a-c:\\-\\[\\]{}&*!|>'\"%@`#?,~<\n\t \\\\]{0,80}") {
        let _ = (read("any.yml", &text), read("near.yml", &near));
    }

    #[test]
    fn mutated_files_never_panic_and_say_why(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..30, "[a-z:\\-\\[\\]{}&*!|'\"$#?,\n\t <0-9]{0,6}"), 1..5),
    ) {
        let files = fixtures("valid");
        let mut chars: Vec<char> = which.get(&files).1.chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(chars.len() + 1).min(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, put.chars());
        }
        let text: String = chars.into_iter().collect();
        match read("mutated.yml", &text) {
            Ok(read) => {
                let again = self::read("again.yml", &to_compose(&read.spec));
                prop_assert!(again.is_ok_and(|again| again.spec.pools == read.spec.pools), "{}", text);
            }
            Err(faults) => prop_assert!(!faults.faults.is_empty() && !faults.to_string().is_empty()),
        }
    }
}
