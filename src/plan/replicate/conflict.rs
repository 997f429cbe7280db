//! What somebody may choose when a tag was changed on both sides, and the steps that follow from the choice.

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::model::oci::{Digest, Tag};
use crate::model::replication::known::{Answer, Choice, Side};
use crate::plan::replicate::difference::Sight;

/// Names that are tried for the one that steps aside: `v1-sh`, `v1-sh-2` … A tag with more of them needs a person.
const NAMES_MAX: u32 = 99;

/// One step out of a conflict. They are done in order, so that nothing is lost between two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What is there gets a second name there. No intent is kept for it: the other side does not have that name yet.
    Name {
        /// Where.
        at: Side,
        /// The second name.
        tag: Tag,
        /// Of what.
        digest: Digest,
    },
    /// The tag is to point there to what the other side has under it.
    Write {
        /// Where.
        to: Side,
        /// Which.
        tag: Tag,
        /// To what.
        digest: Digest,
    },
    /// The tag is deleted there, as long as it points to this.
    Delete {
        /// Where.
        at: Side,
        /// Which.
        tag: Tag,
        /// What it points to.
        digest: Digest,
    },
}

/// What may be chosen for a tag that the two sides show like this. Nothing while a side cannot be asked.
pub fn choices(source: &Sight, target: &Sight) -> &'static [Choice] {
    match (source, target) {
        (Sight::Unknown(_), _) | (_, Sight::Unknown(_)) => &[],
        (Sight::There(_), Sight::There(_)) => &[Choice::SourceWins, Choice::TargetWins, Choice::KeepBoth],
        _ => &[Choice::SourceWins, Choice::TargetWins],
    }
}

/// The steps of an answer. `held` tells what both sides (source, target) have under a tag.
///
/// # Errors
/// `Conflict` when a side has changed since the question was answered, `Refused` when there is no free name for the second.
pub fn steps(
    answer: &Answer,
    tag: &Tag,
    target_name: &RegistryName,
    held: impl Fn(&Tag) -> (Sight, Sight),
) -> Outcome<Vec<Step>> {
    let (source, target) = held(tag);
    let is_same = source.digest() == answer.source.as_ref() && target.digest() == answer.target.as_ref();
    if !is_same || choices(&source, &target).is_empty() {
        return Err(Fault::new(Kind::Conflict, format!("{tag} is not what it was when that was chosen"))
            .hint("look at the conflict again and choose anew"));
    }
    Ok(match (answer.choice, &answer.source, &answer.target) {
        (Choice::KeepBoth, Some(s), Some(t)) => {
            let aside = aside(tag, t, target_name, &held)?;
            let (at_source, at_target) = held(&aside);
            let mut steps = Vec::new();
            if at_target == Sight::Absent {
                steps.push(Step::Name { at: Side::Target, tag: aside.clone(), digest: t.clone() });
            }
            if at_source == Sight::Absent {
                steps.push(Step::Write { to: Side::Source, tag: aside, digest: t.clone() });
            }
            steps.push(Step::Write { to: Side::Target, tag: tag.clone(), digest: s.clone() });
            steps
        }
        (Choice::KeepBoth, ..) => {
            return Err(Fault::new(Kind::Refused, format!("only one side still has {tag}"))
                .hint("choose which side is right"));
        }
        (Choice::SourceWins, from, to) => wins(tag, Side::Source, from.as_ref(), to.as_ref()),
        (Choice::TargetWins, to, from) => wins(tag, Side::Target, from.as_ref(), to.as_ref()),
    })
}

fn wins(tag: &Tag, winner: Side, from: Option<&Digest>, to: Option<&Digest>) -> Vec<Step> {
    let (tag, at) = (tag.clone(), winner.other());
    match (from, to) {
        (Some(digest), _) => vec![Step::Write { to: at, tag, digest: digest.clone() }],
        (None, Some(digest)) => vec![Step::Delete { at, tag, digest: digest.clone() }],
        (None, None) => Vec::new(),
    }
}

/// The name under which the target's one is kept: free on both sides, or that very one already.
fn aside(
    tag: &Tag,
    digest: &Digest,
    target_name: &RegistryName,
    held: &impl Fn(&Tag) -> (Sight, Sight),
) -> Outcome<Tag> {
    let is_ok = |sight: &Sight| *sight == Sight::Absent || sight.digest() == Some(digest);
    for n in 1..=NAMES_MAX {
        let number = if n == 1 { String::new() } else { format!("-{n}") };
        let name: Tag = format!("{tag}-{target_name}{number}").parse().map_err(|_| {
            Fault::new(Kind::Refused, format!("{tag}-{target_name}{number} is too long for a tag"))
                .hint("choose which side is right, or give one of them another tag by hand")
        })?;
        let (source, target) = held(&name);
        if is_ok(&source) && is_ok(&target) {
            return Ok(name);
        }
    }
    Err(Fault::new(Kind::Refused, format!("{tag}-{target_name} and {NAMES_MAX} names after it are taken"))
        .hint("choose which side is right, or delete some of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(n: u8) -> Digest {
        Digest::of(&[n])
    }

    fn tag(name: &str) -> Tag {
        name.parse().unwrap()
    }

    fn answer(choice: Choice, source: Option<u8>, target: Option<u8>) -> Answer {
        Answer { choice, source: source.map(d), target: target.map(d) }
    }

    fn there(n: u8) -> Sight {
        Sight::There(d(n))
    }

    #[test]
    fn both_are_kept_under_a_free_name_and_nothing_is_overwritten_before_that() {
        let sh: RegistryName = "sh".parse().unwrap();
        let held = |t: &Tag| match t.as_str() {
            "v1" => (there(1), there(2)),
            "v1-sh" => (there(7), Sight::Absent),
            _ => (Sight::Absent, Sight::Absent),
        };
        let said = steps(&answer(Choice::KeepBoth, Some(1), Some(2)), &tag("v1"), &sh, held).unwrap();
        let wanted = [
            Step::Name { at: Side::Target, tag: tag("v1-sh-2"), digest: d(2) },
            Step::Write { to: Side::Source, tag: tag("v1-sh-2"), digest: d(2) },
            Step::Write { to: Side::Target, tag: tag("v1"), digest: d(1) },
        ];
        assert_eq!(said, wanted);
        let long = tag(&"x".repeat(126));
        let fault = steps(&answer(Choice::KeepBoth, Some(1), Some(2)), &long, &sh, |_| (there(1), there(2)));
        assert!(fault.unwrap_err().to_string().contains("too long"));
        let kept = |t: &Tag| if t.as_str() == "v2" { (there(1), there(2)) } else { (there(2), there(2)) };
        let said = steps(&answer(Choice::KeepBoth, Some(1), Some(2)), &tag("v2"), &sh, kept).unwrap();
        assert_eq!(said.len(), 1, "the very same is kept under that name already");
    }

    #[test]
    fn an_answer_is_for_what_was_seen() {
        let sh: RegistryName = "sh".parse().unwrap();
        let of =
            |answer: &Answer, s: Sight, t: Sight| steps(answer, &tag("v1"), &sh, |_| (s.clone(), t.clone()));
        let source = answer(Choice::SourceWins, Some(1), Some(2));
        assert_eq!(of(&source, there(1), there(3)).unwrap_err().kind, Kind::Conflict);
        assert_eq!(
            of(&answer(Choice::SourceWins, Some(1), None), there(1), Sight::Unknown("x".into()))
                .unwrap_err()
                .kind,
            Kind::Conflict
        );
        let gone = answer(Choice::SourceWins, None, Some(2));
        let wanted = [Step::Delete { at: Side::Target, tag: tag("v1"), digest: d(2) }];
        assert_eq!(of(&gone, Sight::Absent, there(2)).unwrap(), wanted);
        let back = answer(Choice::TargetWins, None, Some(2));
        let wanted = [Step::Write { to: Side::Source, tag: tag("v1"), digest: d(2) }];
        assert_eq!(of(&back, Sight::Absent, there(2)).unwrap(), wanted);
        let both = answer(Choice::KeepBoth, None, Some(2));
        assert_eq!(of(&both, Sight::Absent, there(2)).unwrap_err().kind, Kind::Refused);
        assert_eq!(choices(&Sight::Absent, &there(2)).len(), 2);
    }
}
