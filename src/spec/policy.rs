//! Reads the rules for images from TOML: every fault with its line and what would be right, all of them at once.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::base::text::is_hostile;
use crate::model::oci::Digest;
use crate::model::policy::{Base, ImagePolicy, Stance};
use crate::spec::fault::{At, PoolFileFault, PoolFileFaults};
use crate::spec::tree::TEXT_MAX;

/// The keys of a policy, with what each takes.
const KEYS: [(&str, &str); 9] = [
    ("registries", "a list of registries, each HOST[:PORT] with `*` for any text"),
    ("bases", "tables [[bases]] with `name` and `layers`"),
    ("ports_denied", "a list of ports, each 1 to 65535"),
    ("no_root", "true or false"),
    ("labels", "a table of labels, each with its value, or \"*\" for any"),
    ("age_days_max", "a number of days, 0 or more"),
    ("digest_required", "true or false"),
    ("breach", "\"refuse\" or \"warn\""),
    ("unknown", "\"refuse\" or \"warn\""),
];
/// What a base takes.
const BASE_KEYS: [(&str, &str); 2] = [
    ("name", "what people call it"),
    ("layers", "the image's `rootfs.diff_ids`, the lowest first, at least one"),
];

type Value<'a> = Spanned<DeValue<'a>>;

/// Reads a policy. `file_name` is only used in messages.
///
/// # Errors
/// Everything that is wrong with it, at once, in the order of its lines.
pub fn read_policy(file_name: &str, text: &str) -> Result<ImagePolicy, PoolFileFaults> {
    let mut reader = Reader { text, faults: Vec::new() };
    let mut policy = ImagePolicy::default();
    if text.len() > TEXT_MAX {
        let what = format!("it has {} bytes", text.len());
        let fault = PoolFileFault::new(At::default(), "", what).expected(format!("at most {TEXT_MAX}"));
        reader.faults.push(fault);
    } else {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            policy = reader.policy(table.get_ref());
        }
        reader.syntax(&errors);
    }
    if reader.faults.is_empty() {
        return Ok(policy);
    }
    reader.faults.sort_by_key(|fault| fault.at);
    let faults = reader.faults.into_iter().map(|fault| fault.in_file(file_name)).collect();
    Err(PoolFileFaults { faults, warnings: Vec::new() })
}

struct Reader<'a> {
    text: &'a str,
    faults: Vec<PoolFileFault>,
}

impl Reader<'_> {
    /// What is no TOML at all.
    fn syntax(&mut self, errors: &[Error]) {
        for error in errors {
            let at = self.place(&error.span().unwrap_or_default());
            self.faults.push(PoolFileFault::new(at, "", error.message().replace('\n', " ")));
        }
    }

    fn policy(&mut self, table: &DeTable<'_>) -> ImagePolicy {
        let mut out = ImagePolicy::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some((_, expected)) = KEYS.iter().find(|(known, _)| *known == name) else {
                self.unknown(key.span(), name, &KEYS);
                continue;
            };
            match name {
                "registries" => out.registries = self.texts(name, value, expected, is_pattern),
                "bases" => out.bases = self.bases(name, value, expected),
                "ports_denied" => out.ports_denied = self.ports(name, value, expected),
                "no_root" => out.no_root = self.flag(name, value, expected),
                "labels" => out.labels = self.labels(name, value, expected),
                "age_days_max" => out.age_days_max = self.number(name, value, expected),
                "breach" => out.breach = self.stance(name, value, expected),
                "unknown" => out.unknown = self.stance(name, value, expected),
                _ => out.digest_required = self.flag(name, value, expected),
            }
        }
        out
    }

    fn bases(&mut self, path: &str, value: &Value<'_>, expected: &str) -> Vec<Base> {
        let mut out = Vec::new();
        for (i, item) in self.list(path, value, expected).iter().enumerate() {
            let path = format!("{path}[{i}]");
            let DeValue::Table(table) = item.get_ref() else {
                self.wrong(item.span(), &path, item.get_ref(), expected);
                continue;
            };
            let mut base = Base { name: String::new(), layers: Vec::new() };
            for (key, value) in table {
                let path = format!("{path}.{}", key.get_ref());
                match key.get_ref().as_ref() {
                    "name" => {
                        base.name =
                            self.text(&path, value, BASE_KEYS[0].1, |t| !t.is_empty()).unwrap_or_default();
                    }
                    "layers" => base.layers = self.layers(&path, value),
                    name => self.unknown(key.span(), name, &BASE_KEYS),
                }
            }
            for (name, expected) in BASE_KEYS.iter().filter(|(name, _)| !table.contains_key(*name)) {
                let what = format!("`{name}` is missing");
                let fault = PoolFileFault::new(self.place(&item.span()), &path, what);
                self.faults.push(fault.expected(*expected));
            }
            out.push(base);
        }
        out
    }

    fn layers(&mut self, path: &str, value: &Value<'_>) -> Vec<Digest> {
        let expected = BASE_KEYS[1].1;
        let items = self.list(path, value, expected);
        if matches!(value.get_ref(), DeValue::Array(_)) && items.is_empty() {
            let fault = PoolFileFault::new(self.place(&value.span()), path, "the list is empty");
            self.faults.push(fault.expected(expected).hint("without layers every image would stand on it"));
        }
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let is_digest = |text: &str| text.parse::<Digest>().is_ok();
            let text = self.text(&path, item, "`sha256:` and 64 hexadecimal digits", is_digest);
            out.extend(text.and_then(|text| text.parse().ok()));
        }
        out
    }

    fn ports(&mut self, path: &str, value: &Value<'_>, expected: &str) -> Vec<u16> {
        let mut out = Vec::new();
        for (i, item) in self.list(path, value, expected).iter().enumerate() {
            let path = format!("{path}[{i}]");
            let port = self.number(&path, item, "a port, 1 to 65535").and_then(|n| u16::try_from(n).ok());
            match port {
                Some(port) if port > 0 => out.push(port),
                _ if integer(item.get_ref()).is_some_and(|n| u32::try_from(n).is_ok()) => {
                    self.wrong(item.span(), &path, item.get_ref(), "a port, 1 to 65535");
                }
                _ => {}
            }
        }
        out
    }

    fn labels(&mut self, path: &str, value: &Value<'_>, expected: &str) -> BTreeMap<String, String> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value.span(), path, value.get_ref(), expected);
            return BTreeMap::new();
        };
        let mut out = BTreeMap::new();
        for (key, value) in table {
            let path = format!("{path}.{}", key.get_ref());
            if let Some(text) =
                self.text(&path, value, "the label's value, or \"*\" for any", |t| !t.is_empty())
            {
                out.insert(key.get_ref().to_string(), text);
            }
        }
        out
    }

    fn texts(
        &mut self,
        path: &str,
        value: &Value<'_>,
        expected: &str,
        is_fine: fn(&str) -> bool,
    ) -> Vec<String> {
        let mut out = Vec::new();
        for (i, item) in self.list(path, value, expected).iter().enumerate() {
            out.extend(self.text(
                &format!("{path}[{i}]"),
                item,
                "HOST[:PORT] with `*` for any text",
                is_fine,
            ));
        }
        out
    }

    fn list<'v>(&mut self, path: &str, value: &'v Value<'_>, expected: &str) -> Vec<&'v Value<'v>> {
        if let DeValue::Array(items) = value.get_ref() {
            return items.iter().collect();
        }
        self.wrong(value.span(), path, value.get_ref(), expected);
        Vec::new()
    }

    fn text(
        &mut self,
        path: &str,
        value: &Value<'_>,
        expected: &str,
        is_fine: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if is_fine(text) && !text.chars().any(is_hostile) => Some(text.to_string()),
            other => {
                self.wrong(value.span(), path, other, expected);
                None
            }
        }
    }

    fn flag(&mut self, path: &str, value: &Value<'_>, expected: &str) -> bool {
        if let DeValue::Boolean(flag) = value.get_ref() {
            return *flag;
        }
        self.wrong(value.span(), path, value.get_ref(), expected);
        false
    }

    fn stance(&mut self, path: &str, value: &Value<'_>, expected: &str) -> Stance {
        match self.text(path, value, expected, |text| matches!(text, "refuse" | "warn")).as_deref() {
            Some("warn") => Stance::Warn,
            _ => Stance::Refuse,
        }
    }

    fn number(&mut self, path: &str, value: &Value<'_>, expected: &str) -> Option<u32> {
        let number = integer(value.get_ref()).and_then(|n| u32::try_from(n).ok());
        if number.is_none() {
            self.wrong(value.span(), path, value.get_ref(), expected);
        }
        number
    }

    fn wrong(&mut self, span: Range<usize>, path: &str, value: &DeValue<'_>, expected: &str) {
        let what = match value {
            DeValue::String(text) => format!("{:?} does not fit here", text.as_ref()),
            DeValue::Integer(number) => format!("{} does not fit here", number.as_str()),
            DeValue::Boolean(flag) => format!("{flag} does not fit here"),
            DeValue::Float(_) | DeValue::Datetime(_) => "this value does not fit here".to_owned(),
            DeValue::Array(_) => "a list does not fit here".to_owned(),
            DeValue::Table(_) => "a table does not fit here".to_owned(),
        };
        self.faults.push(PoolFileFault::new(self.place(&span), path, what).expected(expected));
    }

    fn unknown(&mut self, span: Range<usize>, name: &str, keys: &[(&str, &str)]) {
        let all: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let fault = PoolFileFault::new(self.place(&span), "", format!("there is no key {name:?}"));
        self.faults.push(fault.expected(format!("one of {}", all.join(", "))));
    }

    fn place(&self, span: &Range<usize>) -> At {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let column = 1 + before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        At { line: 1 + before.matches('\n').count(), column }
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else { return None };
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A registry's name, in which `*` stands for any text; never with a scheme or a path.
fn is_pattern(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-*[]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_policy_is_read() {
        let layer = Digest::of(b"layer");
        let text = format!(
            "registries = [\"r.example:5000\", \"*.corp.example\"]\nports_denied = [22, 0x17]\nno_root = true\n\
             age_days_max = 90\ndigest_required = true\nunknown = \"warn\"\n\n[labels]\n\"org.example.owner\" = \"*\"\n\n\
             [[bases]]\nname = \"debian-12\"\nlayers = [\"{layer}\"]\n"
        );
        let policy = read_policy("rules.toml", &text).unwrap();
        assert_eq!(policy.registries, ["r.example:5000", "*.corp.example"]);
        assert_eq!((policy.ports_denied.as_slice(), policy.no_root), (&[22, 23][..], true));
        assert_eq!((policy.age_days_max, policy.digest_required), (Some(90), true));
        assert_eq!((policy.breach, policy.unknown), (Stance::Refuse, Stance::Warn));
        assert!(
            read_policy("x", "breach = \"ignore\"")
                .unwrap_err()
                .to_string()
                .contains("expected \"refuse\" or")
        );
        assert_eq!(policy.labels.get("org.example.owner").map(String::as_str), Some("*"));
        assert_eq!(policy.bases, [Base { name: "debian-12".to_owned(), layers: vec![layer] }]);
        assert_eq!(read_policy("x", "").unwrap(), ImagePolicy::default());
        assert_eq!(
            toml::from_str::<ImagePolicy>(&text).unwrap(),
            policy,
            "the model reads the same file alike"
        );
    }

    #[test]
    fn every_fault_is_told_with_its_place_and_what_is_right() {
        let text = "registries = [\"https://r.example\", 5]\nno_root = 1\nage_days_max = -1\nports_denied = [0, 70000, \"ssh\"]\n\
                    color = \"red\"\n[labels]\na = \"\"\n[[bases]]\nlayers = [\"sha256:1\"]\n[[bases]]\nname = \"x\"\nlayers = []\n";
        let told = read_policy("rules.toml", text).unwrap_err().to_string();
        let places: Vec<&str> = told.lines().filter_map(|l| l.strip_prefix("rules.toml:")).collect();
        let starts = |at: usize, with: &str| assert!(places[at].starts_with(with), "{at}: {}", places[at]);
        assert_eq!(places.len(), 12, "{told}");
        starts(0, "1:15: registries[0]: \"https://r.example\" does not fit here; expected HOST[:PORT]");
        starts(1, "1:36: registries[1]: 5 does not fit here");
        starts(2, "2:11: no_root: 1 does not fit here; expected true or false");
        starts(3, "3:16: age_days_max: -1 does not fit here; expected a number of days");
        starts(4, "4:17: ports_denied[0]: 0 does not fit here; expected a port");
        starts(5, "4:20: ports_denied[1]: 70000");
        starts(6, "4:27: ports_denied[2]: \"ssh\"");
        starts(7, "5:1: there is no key \"color\"; expected one of registries, bases");
        starts(8, "7:5: labels.a: \"\" does not fit here");
        starts(9, "8:1: bases[0]: `name` is missing; expected what people call it");
        starts(10, "9:11: bases[0].layers[0]: \"sha256:1\" does not fit here; expected `sha256:`");
        starts(11, "12:10: bases[1].layers: the list is empty");
    }

    #[test]
    fn what_is_no_toml_is_told_with_every_line() {
        let told = read_policy("rules.toml", "no_root = \nages = [\n").unwrap_err();
        assert!(told.faults.iter().any(|f| f.at.line == 1) && told.faults.len() > 1, "{told}");
        assert!(read_policy("rules.toml", "a = 1\na = 2\n").is_err());
        assert!(read_policy("rules.toml", &"#".repeat(TEXT_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[a-z_\\[\\]=\" 0-9\n.{},é]{0,80}") {
            let _ = read_policy("x", &text);
        }
    }
}
