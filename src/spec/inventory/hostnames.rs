//! Names of hosts in Ansible's inventories: ranges (`db[01:20].example`), and the older `name:port`.

use std::collections::BTreeMap;

use crate::spec::fault::{At, PoolFileFault};
use crate::spec::inventory::HOSTS_MAX;
use crate::spec::inventory::ansible::Inventory;
use crate::spec::inventory::draft::Placed;
use crate::spec::inventory::sheet::Sheet;

/// What a range looks like, for messages.
const RANGE_EXPECTED: &str =
    "[BEGIN:END] or [BEGIN:END:STEP], of numbers or of single letters, like db[01:20]";

/// Adds every host that a pattern names to a group, with its variables.
pub fn add(
    sheet: &mut Sheet,
    inventory: &mut Inventory,
    pattern: &str,
    at: At,
    group: &str,
    vars: &BTreeMap<String, Placed>,
) {
    let (names, port) = port_of(pattern);
    let all = match expand(names) {
        Ok(all) => all,
        Err(why) => {
            let fault = PoolFileFault::new(at, "", format!("{pattern:?}: {why}"));
            return sheet.fault(fault.expected(RANGE_EXPECTED));
        }
    };
    for name in all {
        let Some(host) = inventory.host(&name, at, group) else {
            let fault = PoolFileFault::new(at, "", "there are too many hosts");
            return sheet.fault(fault.expected(format!("at most {HOSTS_MAX}")));
        };
        if let Some(port) = port {
            host.vars.insert("ansible_port".to_owned(), Placed { at, text: port.to_owned() });
        }
        for (key, value) in vars {
            host.vars.insert(key.clone(), value.clone());
        }
    }
}

/// `name:port`, where the colon stands in no range.
fn port_of(pattern: &str) -> (&str, Option<&str>) {
    match pattern.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && name.matches('[').count() == name.matches(']').count()
                && !outside_of_ranges(name, ':') =>
        {
            (name, Some(port))
        }
        _ => (pattern, None),
    }
}

fn outside_of_ranges(text: &str, sought: char) -> bool {
    let mut inside = false;
    text.chars().any(|c| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        c == sought && !inside
    })
}

/// Every name that a pattern stands for, as Ansible expands it.
fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = vec![String::new()];
    let mut rest = pattern;
    while let Some((head, tail)) = rest.split_once('[') {
        let (range, after) = tail.split_once(']').ok_or("the range is not closed")?;
        let steps = sequence(range)?;
        if done.len().saturating_mul(steps.len()) > HOSTS_MAX {
            return Err(format!("the range names more than {HOSTS_MAX} hosts"));
        }
        done = done.iter().flat_map(|d| steps.iter().map(move |s| format!("{d}{head}{s}"))).collect();
        rest = after;
    }
    if rest.contains(']') {
        return Err("the range is not opened".to_owned());
    }
    Ok(done.into_iter().map(|d| d + rest).collect())
}

fn sequence(range: &str) -> Result<Vec<String>, String> {
    let bounds: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match bounds[..] {
        [begin, end] => (begin, end, 1),
        [begin, end, step] => {
            let step = step.parse::<usize>().ok().filter(|n| *n > 0);
            (begin, end, step.ok_or_else(|| format!("{range:?} has no step from 1"))?)
        }
        _ => return Err(format!("{range:?} is not a range")),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(format!("{range:?} has no end"));
    }
    let wrong_way = || format!("{range:?} ends before it begins");
    if let ([b], [e]) = (begin.as_bytes(), end.as_bytes())
        && b.is_ascii_alphabetic()
        && e.is_ascii_alphabetic()
    {
        // Small letters come before capitals, as in Ansible.
        let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
        let place = |byte: &u8| letters.iter().position(|c| *c == char::from(*byte)).unwrap_or(0);
        let (from, to) = (place(b), place(e));
        if from > to {
            return Err(wrong_way());
        }
        return Ok(letters[from..=to].iter().step_by(step).map(char::to_string).collect());
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<usize>().ok() } else { None }
    };
    let (Some(from), Some(to)) = (number(begin), number(end)) else {
        return Err(format!("{range:?} is a range neither of numbers nor of letters"));
    };
    let padded = begin.len() > 1 && begin.starts_with('0');
    if padded && begin.len() != end.len() {
        return Err(format!("{range:?} begins and ends with different numbers of digits"));
    }
    if from > to {
        return Err(wrong_way());
    }
    if (to - from) / step >= HOSTS_MAX {
        return Err(format!("the range names more than {HOSTS_MAX} hosts"));
    }
    let width = if padded { begin.len() } else { 0 };
    Ok((from..=to).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_expanded_as_ansible_does() {
        let names = |pattern: &str| expand(pattern).map(|all| all.join(" "));
        assert_eq!(
            names("db[08:11].example").unwrap(),
            "db08.example db09.example db10.example db11.example"
        );
        assert_eq!(names("x[8:11]").unwrap(), "x8 x9 x10 x11");
        assert_eq!(names("[a:c]-[1:5:2]").unwrap(), "a-1 a-3 a-5 b-1 b-3 b-5 c-1 c-3 c-5");
        assert_eq!(names("n[:2]").unwrap(), "n0 n1 n2");
        assert_eq!(names("n[y:B]").unwrap(), "ny nz nA nB");
        for bad in
            ["n[1]", "n[1:", "n1:3]", "n[3:1]", "n[01:3]", "n[a:5]", "n[1:3:0]", "n[1:]", "n[0:999999999]"]
        {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_is_told_from_a_range() {
        assert_eq!(port_of("db1:2222"), ("db1", Some("2222")));
        assert_eq!(port_of("db[1:3]:2222"), ("db[1:3]", Some("2222")));
        assert_eq!(port_of("db[1:3]"), ("db[1:3]", None));
        assert_eq!(port_of("2001:db8::1"), ("2001:db8::1", None));
    }
}
