//! Why a container is where it is or nowhere: the engine's explanation as lines to read.

use std::collections::BTreeMap;

use crate::base::text::{self, safe};
use crate::model::explain::{Explanation, Filter, Scorer, Verdict};

/// Hosts that can take it are listed up to this number.
const HOSTS_MAX: usize = 50;
/// Sentences of one filter that are listed.
const SENTENCES_MAX: usize = 12;
/// Hosts named behind a sentence.
const NAMES_MAX: usize = 6;

/// A filter in a few words.
pub fn filter(filter: Filter) -> &'static str {
    match filter {
        Filter::Ready => "not ready",
        Filter::Pinned => "pinned elsewhere",
        Filter::Site => "site",
        Filter::Platform => "platform",
        Filter::Constraint => "constraint",
        Filter::Image => "image",
        Filter::External => "networks and volumes",
        Filter::Class => "class",
        Filter::Cpu => "CPU",
        Filter::Memory => "memory",
        Filter::Pids => "processes",
        Filter::Disk => "disk",
        Filter::Bandwidth => "bandwidth",
        Filter::Port => "port",
        Filter::MaxPerHost => "most on one host",
        Filter::Apart => "apart from other pools",
        Filter::SiteLimit => "limit of the site",
    }
}

/// A score in a few words.
pub fn scorer(scorer: Scorer) -> &'static str {
    match scorer {
        Scorer::Strategy => "strategy",
        Scorer::FewOfPool => "few of pool",
        Scorer::EvenSpread => "even",
        Scorer::Preference => "wishes",
        Scorer::JustFailed => "failed",
        Scorer::ImageThere => "image",
        Scorer::ClassFit => "class",
    }
}

/// All of an explanation: the sentence, the choice, the scores of those that can take it, what refuses the others.
pub fn lines(e: &Explanation) -> Vec<String> {
    let mut out = vec![safe(&e.sentence).into_owned(), String::new()];
    let slot = e.slot.map_or_else(|| format!("one more of {}", e.pool), |s| format!("{}.{s}", e.pool));
    out.push(format!("container: {slot}"));
    out.push(format!("strategy: {}", e.strategy));
    out.push(format!("is-on: {}", e.now_on.as_ref().map_or("no host", |h| h.as_str())));
    out.push(format!("goes-to: {}", e.choice.as_ref().map_or("no host takes it", |h| h.as_str())));
    let (takes, refuses): (Vec<&Verdict>, Vec<&Verdict>) = e.hosts.iter().partition(|v| v.refused.is_empty());
    out.push(String::new());
    if takes.is_empty() {
        out.push(format!("None of {} can take it.", text::count(len(e.hosts.len()), "host")));
    } else {
        out.push(format!(
            "{} of {} can take it, the best first. Of hosts with as few of the pool, the mean of the scores decides (each -1 to 1):",
            takes.len(),
            text::count(len(e.hosts.len()), "host")
        ));
        scores(&takes, &mut out);
    }
    if !refuses.is_empty() {
        out.push(String::new());
        out.push(format!("{} refuse it; a host stands here once for each reason:", refuses.len()));
        refusals(&refuses, &mut out);
    }
    out
}

fn len(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn scores(takes: &[&Verdict], out: &mut Vec<String>) {
    let mut scorers: Vec<Scorer> = takes.iter().flat_map(|v| &v.scores).map(|s| s.scorer).collect();
    scorers.sort();
    scorers.dedup();
    let shown = &takes[..takes.len().min(HOSTS_MAX)];
    let names = shown.iter().map(|v| text::width(v.host.as_str())).max().unwrap_or(4).max(4);
    let heads: Vec<String> = scorers.iter().map(|s| format!("{:>12}", scorer(*s))).collect();
    out.push(format!("  {:<names$}  {:>6}{}", "HOST", "MEAN", heads.concat()));
    for v in shown {
        let score = |s: &Scorer| {
            let found = v.scores.iter().find(|x| x.scorer == *s);
            found.map_or_else(|| format!("{:>12}", "-"), |x| format!("{:>12.2}", x.value))
        };
        let values: Vec<String> = scorers.iter().map(score).collect();
        out.push(format!("  {:<names$}  {:>6.2}{}", v.host.as_str(), v.total, values.concat()));
    }
    if takes.len() > shown.len() {
        out.push(format!("  and {} more", takes.len() - shown.len()));
    }
}

fn refusals(refuses: &[&Verdict], out: &mut Vec<String>) {
    let mut filters: BTreeMap<Filter, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for verdict in refuses {
        for refused in &verdict.refused {
            let sentences = filters.entry(refused.filter).or_default();
            sentences.entry(&refused.why).or_default().push(verdict.host.as_str());
        }
    }
    for (which, sentences) in filters {
        let hosts: usize = sentences.values().map(Vec::len).sum();
        out.push(format!("  {} ({}):", filter(which), text::count(len(hosts), "host")));
        let mut sentences: Vec<(&str, Vec<&str>)> = sentences.into_iter().collect();
        sentences.sort_by_key(|(_, hosts)| std::cmp::Reverse(hosts.len()));
        for (why, hosts) in sentences.iter().take(SENTENCES_MAX) {
            let names = hosts[..hosts.len().min(NAMES_MAX)].join(", ");
            let more = match hosts.len().saturating_sub(NAMES_MAX) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            out.push(format!("    {}", safe(why)));
            out.push(format!("      [{names}{more}]"));
        }
        if sentences.len() > SENTENCES_MAX {
            out.push(format!("    and {} more sentences", sentences.len() - SENTENCES_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{HostId, PoolId};
    use crate::base::text::is_hostile;
    use crate::model::explain::{Refused, Score};
    use crate::model::placement::Strategy;

    #[test]
    fn all_refusals_are_grouped_and_safe() {
        let host = |n: u32| HostId::new(&format!("h{n}")).unwrap();
        let mut hosts = vec![Verdict {
            host: host(1),
            refused: Vec::new(),
            scores: vec![Score { scorer: Scorer::EvenSpread, value: 0.5 }],
            total: 0.5,
        }];
        for n in 2..11 {
            let mut refused = vec![Refused { filter: Filter::Cpu, why: "needs 2, 1 is free\u{1b}".into() }];
            if n == 2 {
                refused.push(Refused { filter: Filter::Memory, why: "needs 4G".into() });
            }
            hosts.push(Verdict { host: host(n), refused, scores: Vec::new(), total: 0.0 });
        }
        let explanation = Explanation {
            pool: PoolId::new("feed", "web").unwrap(),
            slot: Some(3),
            strategy: Strategy::Spread,
            now_on: None,
            choice: Some(host(1)),
            sentence: "it goes to h1".into(),
            hosts,
        };
        let all = lines(&explanation).join("\n");
        assert!(all.contains("1 of 10 hosts can take it"), "{all}");
        assert!(all.contains("CPU (9 hosts)") && all.contains("h7 and 3 more]"), "{all}");
        assert!(all.contains("memory (1 host)") && all.contains("[h2]"), "{all}");
        assert!(!all.replace('\n', "").chars().any(is_hostile));
    }
}
