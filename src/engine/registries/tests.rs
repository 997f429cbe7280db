//! Decisions about registries, rules and lines: what is accepted becomes writes and a line of the journal, the rest is refused in words.

use super::*;
use crate::model::site::{Site, SiteLimits};

fn caller() -> Caller {
    Caller { who: "alice".into(), read_only: false, login: None }
}

fn registry(name: &str) -> Registry {
    let text = format!(r#"{{"name":"{name}","address":"{name}.example:5000"}}"#);
    serde_json::from_str(&text).unwrap()
}

fn rule(name: &str, source: &str, targets: &[&str]) -> Rule {
    let targets = serde_json::to_string(targets).unwrap();
    serde_json::from_str(&format!(r#"{{"name":"{name}","source":"{source}","targets":{targets}}}"#)).unwrap()
}

fn narrow(rule: Rule) -> Rule {
    let filters = serde_json::from_str(r#"[{"on":"repository","pattern":{"glob":"feed/**"}}]"#).unwrap();
    Rule { filters, ..rule }
}

/// Registries hq, bj and tc, a site, and these rules.
fn known(rules: &[Rule]) -> Desired {
    let mut desired = Desired::default();
    for name in ["hq", "bj", "tc"] {
        desired.apply(&Write::PutRegistry(Box::new(registry(name))));
    }
    let site = Site { name: "bj".parse().unwrap(), registry: None, limits: SiteLimits::default() };
    desired.apply(&Write::PutSite(site));
    rules.iter().for_each(|r| desired.apply(&Write::PutRule(Box::new(r.clone()))));
    desired
}

fn ask(desired: &Desired, command: &Command) -> Decided {
    decide(desired, command, &caller()).unwrap()
}

fn put(desired: &Desired, registry: Registry) -> Decided {
    ask(desired, &Command::PutRegistry(Box::new(registry)))
}

fn put_rule(desired: &Desired, rule: Rule) -> Decided {
    ask(desired, &Command::PutRule(Box::new(rule)))
}

fn refusal(decided: Decided) -> String {
    let refusal = decided.unwrap_err();
    assert!(refusal.hint.is_some(), "{refusal} says no next step");
    refusal.text
}

#[test]
fn what_is_accepted_is_written_and_told() {
    let desired = known(&[]);
    let new = Registry { sites: vec!["bj".parse().unwrap()], ..registry("ali") };
    let admitted = put(&desired, new.clone()).unwrap();
    let [Write::PutRegistry(written), Write::Journal(line)] = &admitted.writes[..] else {
        panic!("{:?}", admitted.writes)
    };
    assert_eq!((&**written, line.by.as_str()), (&new, "alice"));
    assert_eq!(line.text, "registry ali recorded: ali.example:5000");
    assert!(put(&desired, registry("hq")).unwrap().writes.is_empty(), "nothing changed, nothing written");
    let changed = put(&desired, Registry { parallel: 4, ..registry("hq") }).unwrap();
    assert_eq!(changed.accepted.text, "registry hq changed: hq.example:5000");
    let both = Rule { two_way: true, ..rule("mirror", "hq", &["bj"]) };
    let text = put_rule(&desired, both).unwrap().accepted.text;
    assert_eq!(text, "rule mirror recorded: hq ↔ bj");
}

#[test]
fn addresses_are_checked() {
    for good in ["hq", "hq.example", "hq.example:5000", "10.0.0.7:443", "[fd00::7]:5000", "[::1]"] {
        assert!(is_address(good), "{good}");
    }
    let bad = [
        "",
        ":5000",
        "https://hq",
        "hq/feed",
        "hq:",
        "hq:0",
        "hq:99999",
        "h q",
        "hq:5000:1",
        "[::1",
        "h\u{202e}q",
    ];
    for bad in bad {
        assert!(!is_address(bad), "{bad:?}");
        let text = refusal(put(&known(&[]), Registry { address: bad.into(), ..registry("x") }));
        assert!(text.contains("not the address of a registry"), "{text}");
        let endpoints = vec!["a:1".into(), bad.into()];
        assert!(put(&known(&[]), Registry { endpoints, ..registry("x") }).is_err());
    }
}

#[test]
fn registries_that_make_no_sense_are_refused() {
    let desired = known(&[]);
    let twin = Registry { address: "hq.example:5000".into(), ..registry("x") };
    assert!(refusal(put(&desired, twin)).contains("known already as registry hq"));
    let twice = Registry { endpoints: vec!["a:1".into(), "a:1".into()], ..registry("x") };
    assert!(refusal(put(&desired, twice)).contains("the same endpoint twice"));
    assert!(refusal(put(&desired, Registry { parallel: 0, ..registry("x") })).contains("0 requests"));
    assert!(
        refusal(put(&desired, Registry { ca: Some("ca.pem".into()), ..registry("x") })).contains("in full")
    );
    let lost = Registry { sites: vec!["nowhere".parse().unwrap()], ..registry("x") };
    assert!(refusal(put(&desired, lost)).contains("there is no site nowhere"));
    let mut desired = desired;
    let at_bj = |name| Registry { sites: vec!["bj".parse().unwrap()], ..registry(name) };
    desired.apply(&Write::PutRegistry(Box::new(at_bj("bj"))));
    assert!(refusal(put(&desired, at_bj("x"))).contains("pull from registry bj first"));
    assert!(put(&desired, Registry { parallel: 3, ..at_bj("bj") }).is_ok());
}

#[test]
fn a_registry_goes_only_when_no_rule_names_it_and_its_limits_go_with_it() {
    let mut desired = known(&[rule("all", "hq", &["bj"])]);
    let limits: LineLimits =
        serde_json::from_str(r#"{"line":{"from":"tc","to":"hq"},"parallel":4}"#).unwrap();
    desired.apply(&Write::PutLineLimits(limits.clone()));
    let remove = |name: &str| ask(&desired, &Command::RemoveRegistry(name.parse().unwrap()));
    for name in ["hq", "bj"] {
        assert!(refusal(remove(name)).contains("is named by rule all"), "{name}");
    }
    assert!(refusal(remove("x")).contains("there is no registry x"));
    let writes = remove("tc").unwrap().writes;
    assert_eq!(writes[..2], [Write::DropLineLimits(limits.line), Write::DropRegistry("tc".parse().unwrap())]);
    assert!(matches!(writes[2], Write::Journal(_)));
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let desired = known(&[]);
    let says = |rule: Rule, text: &str| {
        let said = refusal(put_rule(&desired, rule));
        assert!(said.contains(text), "{said}");
    };
    let all = || rule("all", "hq", &["bj"]);
    says(rule("all", "hq", &[]), "has no target");
    says(rule("all", "hq", &["x"]), "there is no registry x");
    says(rule("all", "hq", &["hq"]), "names a registry twice");
    says(rule("all", "hq", &["bj", "bj"]), "names a registry twice");
    says(Rule { two_way: true, ..rule("all", "hq", &["bj", "tc"]) }, "cannot work both ways");
    let filters = |json: &str| serde_json::from_str(json).unwrap();
    says(Rule { filters: filters(r#"[{"on":"tag","pattern":{"regex":""}}]"#), ..all() }, "without a pattern");
    let versions = filters(r#"[{"on":"repository","pattern":{"semver":">1"}}]"#);
    says(Rule { filters: versions, ..all() }, "versions with a repository");
    let trigger = |json: &str| serde_json::from_str(json).unwrap();
    says(Rule { trigger: trigger(r#"{"every_ms":500}"#), ..all() }, "all the time");
    says(Rule { trigger: trigger(r#"{"cron":"* *"}"#), ..all() }, "not five fields");
    says(Rule { trigger: trigger(r#"{"cron":"99 2 * * *"}"#), ..all() }, "would never run by itself");
    assert!(put_rule(&desired, Rule { trigger: trigger(r#"{"cron":"30 2 * * 1-5"}"#), ..all() }).is_ok());
}

#[test]
fn rules_that_do_not_go_together_are_refused_by_name() {
    let filters = |json: &str| serde_json::from_str(json).unwrap();
    let desired = known(&[rule("a", "hq", &["bj"]), rule("b", "bj", &["tc"])]);
    let text = refusal(put_rule(&desired, rule("c", "tc", &["hq"])));
    assert_eq!(text, "these rules make a circle: hq → bj → tc → hq");
    let text = refusal(put_rule(&desired, rule("b", "tc", &["bj"])));
    assert_eq!(text, "rules a and b may write the same repositories to bj, from hq and from tc");
    assert!(put_rule(&desired, rule("b", "hq", &["tc"])).is_ok(), "it takes the place of the one before");
    // Facing rules: with filters that meet, and with prefixes that put repositories into each other.
    let desired = known(&[narrow(rule("a", "hq", &["bj"]))]);
    let text = refusal(put_rule(&desired, narrow(rule("c", "bj", &["hq"]))));
    assert_eq!(text, "rules a and c carry the same repositories to and fro between hq and bj");
    let ads = filters(r#"[{"on":"repository","pattern":{"glob":"ads/**"}}]"#);
    assert!(put_rule(&desired, Rule { filters: ads, ..rule("c", "bj", &["hq"]) }).is_ok());
    let prefixed = |rule: Rule, prefix: &str| Rule { prefix: Some(prefix.parse().unwrap()), ..rule };
    let desired = known(&[prefixed(rule("a", "hq", &["bj"]), "hq")]);
    let text = refusal(put_rule(&desired, prefixed(rule("c", "bj", &["hq"]), "bj")));
    assert!(text.contains("to and fro"), "{text}");
    // Two masters are one rule; a second one beside it, either way, is one too many.
    let desired = known(&[Rule { two_way: true, ..rule("m", "hq", &["bj"]) }]);
    assert!(refusal(put_rule(&desired, rule("c", "bj", &["hq"]))).contains("to and fro"));
    let text = refusal(put_rule(&desired, rule("c", "hq", &["bj"])));
    assert_eq!(text, "rules m and c both carry the same repositories from hq to bj");
    assert!(put_rule(&desired, rule("c", "bj", &["tc"])).is_ok());
    let broken = filters(r#"[{"on":"tag","pattern":{"regex":"v(1"}}]"#);
    let text = refusal(put_rule(&desired, Rule { filters: broken, ..rule("c", "bj", &["tc"]) }));
    assert!(text.contains("v(1"), "{text}");
}

#[test]
fn what_was_wrong_before_keeps_nobody_from_changing_it() {
    let desired = known(&[rule("a", "hq", &["bj"]), rule("b", "tc", &["bj"])]);
    assert!(put_rule(&desired, Rule { enabled: false, ..rule("b", "tc", &["bj"]) }).is_ok());
    assert!(put_rule(&desired, narrow(rule("c", "hq", &["tc"]))).is_ok());
}

#[test]
fn limits_of_lines_are_checked() {
    let desired = known(&[]);
    let limits = |budgets: &str| -> LineLimits {
        let text = format!(r#"{{"line":{{"from":"hq","to":"bj"}},"parallel":4,"budgets":{budgets}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let put = |l: LineLimits| ask(&desired, &Command::PutLineLimits(l));
    assert_eq!(put(limits("[]")).unwrap().accepted.text, "limits of hq → bj changed");
    assert!(put(limits(r#"[{"from":22,"until":6,"bytes_per_s":9},{"from":6,"until":22}]"#)).is_ok());
    for (budgets, text) in [
        (r#"[{"from":24,"until":6}]"#, "not hours of a day"),
        (r#"[{"from":1,"until":0}]"#, "not hours of a day"),
        (r#"[{"from":22,"until":6},{"from":5,"until":7}]"#, "two limits count at 5 o'clock"),
        (r#"[{"from":8,"until":8},{"from":3,"until":4}]"#, "two limits count at 3 o'clock"),
        (r#"[{"from":8,"until":9,"bytes_per_s":0}]"#, "nothing could go"),
    ] {
        let said = refusal(put(limits(budgets)));
        assert!(said.contains(text), "{said}");
    }
    let mut other = limits("[]");
    other.line.to = "x".parse().unwrap();
    assert!(refusal(put(other)).contains("there is no registry x"));
    assert!(refusal(put(LineLimits { parallel: 0, ..limits("[]") })).contains("0 blobs"));
}
