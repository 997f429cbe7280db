//! From what hosts list and registries say to how far an image is: pure, nothing is asked here.

use std::collections::BTreeMap;

use crate::base::ids::SiteName;
use crate::base::text::count;
use crate::model::coverage::{Coverage, Holds, HostHolds, SiteHolds};
use crate::model::host::Image;
use crate::model::prewarm::Weight;
use crate::plan::estimate::words::{gb, mbit, minutes};

/// More than this over a line by hosts that pull the same from afar is worth a warning.
const WORTH_BYTES: u64 = 1_000_000_000;

/// Whether what a host lists under the image's name is the image.
pub fn holds(listed: Option<Option<&Image>>, weight: Option<&Weight>) -> Holds {
    let Some(listed) = listed else { return Holds::Unknown };
    let Some(image) = listed else { return Holds::No };
    let Some(weight) = weight else { return Holds::Yes };
    let by_digest = image.digest.as_ref().is_some_and(|d| d.raw() == weight.digest.as_str());
    let by_id = weight.ids.iter().any(|id| id.as_str() == image.id.raw());
    if by_digest || by_id { Holds::Yes } else { Holds::Other }
}

/// What is known of one site.
#[derive(Clone, Debug, Default)]
pub struct SiteFacts {
    /// What its hosts pull from.
    pub from: String,
    /// It has a registry of its own, and whether that has the image.
    pub own: Option<Result<bool, String>>,
    /// The line to the source; none where that stands.
    pub line: Option<String>,
    /// What the line may carry, in bits a second.
    pub bits: Option<u64>,
    /// How quick one pull was there, in bytes a second.
    pub rate: Option<u64>,
    /// Pulls at a time there.
    pub at_a_time: u32,
}

/// Puts together how far an image is. `facts` are by site.
pub fn coverage(
    mut coverage: Coverage,
    hosts: Vec<HostHolds>,
    facts: &BTreeMap<Option<SiteName>, SiteFacts>,
) -> Coverage {
    let bytes = coverage.bytes();
    let mut sites: BTreeMap<Option<SiteName>, (u32, u32)> = BTreeMap::new();
    for host in &hosts {
        let (all, lack) = sites.entry(host.site.clone()).or_default();
        *all += 1;
        *lack += u32::from(matches!(host.holds, Holds::No | Holds::Other));
    }
    let none = SiteFacts::default();
    coverage.eta_ms = Some(0);
    for (site, (all, lack)) in sites {
        let of = facts.get(&site).unwrap_or(&none);
        let eta_ms = eta_ms(bytes, lack, of);
        coverage.eta_ms = coverage.eta_ms.zip(eta_ms).map(|(a, b)| a.max(b));
        coverage.warnings.extend(warning(&coverage.image, bytes, lack, of));
        coverage.sites.push(SiteHolds {
            site,
            hosts: all,
            lack,
            from: of.from.clone(),
            has: of.own.as_ref().and_then(|own| own.as_ref().ok().copied()),
            why: of.own.as_ref().and_then(|own| own.as_ref().err().cloned()),
            line: of.line.clone(),
            eta_ms,
        });
    }
    coverage.hosts = hosts;
    coverage
}

fn eta_ms(bytes: Option<u64>, lack: u32, of: &SiteFacts) -> Option<u64> {
    if lack == 0 {
        return Some(0);
    }
    let (bytes, rate) = (bytes?, of.rate.filter(|r| *r > 0)?);
    let rounds = u64::from(lack.div_ceil(of.at_a_time.max(1)));
    Some(bytes.saturating_mul(1000).div_ceil(rate).saturating_mul(rounds))
}

/// What hosts of a site would send over its line that need not go there so often.
fn warning(image: &str, bytes: Option<u64>, lack: u32, of: &SiteFacts) -> Option<String> {
    let line = of.line.as_ref().filter(|_| lack > 0)?;
    let hosts = count(lack.into(), "host");
    let sum = bytes.map(|b| b.saturating_mul(lack.into()));
    let much = match (bytes, sum) {
        (Some(each), Some(sum)) => {
            let long = of.bits.map(|bits| {
                let ms = u128::from(sum) * 8000 / u128::from(bits.max(1));
                format!(", {} at {}", minutes(u64::try_from(ms).unwrap_or(u64::MAX)), mbit(bits))
            });
            format!("{hosts} x {} = {} over {line}{}", gb(each), gb(sum), long.unwrap_or_default())
        }
        _ => format!("{hosts} pull it over {line}, how much is not known"),
    };
    match &of.own {
        Some(Ok(true)) => None,
        Some(Ok(false)) => Some(format!("registry {} does not hold {image} yet: {much}", of.from)),
        Some(Err(why)) => {
            Some(format!("whether registry {} holds {image} is not known ({why}): {much}", of.from))
        }
        None if lack > 1 && sum.is_some_and(|sum| sum >= WORTH_BYTES) => {
            Some(format!("all of them pull from {}, the site has no registry: {much}", of.from))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Millis;
    use crate::model::coverage::listed_as;
    use crate::model::oci::Digest;

    fn weight() -> Weight {
        Weight {
            digest: Digest::of(b"new"),
            ids: vec![Digest::of(b"config")],
            layers: vec![1_200_000_000],
            registry: "hq".parse().unwrap(),
        }
    }

    fn image(id: &Digest, digest: Option<&Digest>) -> Image {
        let digest = digest.map(|d| d.as_str().into());
        Image { id: id.as_str().into(), created: Millis(0), size: 1, digest }
    }

    #[test]
    fn a_name_alone_is_not_the_image_when_the_digest_is_known() {
        let (weight, other) = (weight(), Digest::of(b"old"));
        let of = |image: &Image| holds(Some(Some(image)), Some(&weight));
        assert_eq!(of(&image(&other, Some(&weight.digest))), Holds::Yes);
        assert_eq!(of(&image(&weight.ids[0], None)), Holds::Yes, "handed over: known by its id");
        assert_eq!(of(&image(&other, Some(&other))), Holds::Other);
        assert_eq!(holds(Some(None), Some(&weight)), Holds::No);
        assert_eq!(holds(None, Some(&weight)), Holds::Unknown);
        assert_eq!(holds(Some(Some(&image(&other, None))), None), Holds::Yes);
        let listed = ["busybox", "docker.io/library/busybox:1", "hq.example:5000/a/b"].map(listed_as);
        assert_eq!(listed, ["busybox:latest", "busybox:1", "hq.example:5000/a/b:latest"]);
    }

    #[test]
    fn forty_hosts_behind_a_line_are_warned_of() {
        let empty = Coverage {
            image: "hq.example/feed/web:v2.32".into(),
            pool: None,
            weight: Some(weight()),
            unweighed: None,
            hosts: Vec::new(),
            left_out: Vec::new(),
            sites: Vec::new(),
            eta_ms: None,
            warnings: Vec::new(),
        };
        let hosts = |holds| {
            let host = move |i| HostHolds {
                host: format!("h{i}").parse().unwrap(),
                site: Some("bj".parse().unwrap()),
                holds,
            };
            (0..40).map(host).collect::<Vec<_>>()
        };
        let mut facts = SiteFacts {
            from: "bj".into(),
            own: Some(Ok(false)),
            line: Some("hq → bj".into()),
            bits: Some(100_000_000),
            rate: Some(12_000_000),
            at_a_time: 4,
        };
        let of = |facts: &SiteFacts, holds| {
            let facts = BTreeMap::from([(Some("bj".parse().unwrap()), facts.clone())]);
            coverage(empty.clone(), hosts(holds), &facts)
        };
        let far = of(&facts, Holds::No);
        assert_eq!(
            far.warnings,
            [
                "registry bj does not hold hq.example/feed/web:v2.32 yet: 40 hosts x 1.2 GB = 48 GB over hq → bj, 64 min at 100 Mbit/s"
            ]
        );
        assert_eq!((far.lack(), far.eta_ms), (40, Some(1_000_000)), "ten rounds of 100 s");
        assert!(of(&facts, Holds::Yes).warnings.is_empty());
        facts.own = Some(Ok(true));
        assert!(of(&facts, Holds::No).warnings.is_empty());
        facts.own = Some(Err("no answer".into()));
        assert!(of(&facts, Holds::No).warnings[0].contains("is not known (no answer)"));
        (facts.own, facts.rate) = (None, None);
        let alone = of(&facts, Holds::No);
        assert!(alone.warnings[0].contains("the site has no registry"), "{:?}", alone.warnings);
        assert_eq!(alone.eta_ms, None, "never guessed");
    }
}
