//! What a write of one tag leaves in memory: the intent before it, so that it never counts as a change of others; and what both
//! sides have after it. Where both are masters, what was decided is held against what both show just before the write.

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::compare::look;
use crate::engine::registry::pool::Ends;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::Deletes;
use crate::model::replication::known::{Intent, Known, Side};
use crate::plan::replicate::difference::{Sight, Way};
use crate::store::replication::{Note, Remembered};

/// A tag that is to be written.
pub struct Trail<'a> {
    /// From the rule's source to its target, whichever way this tag goes.
    pub ends: &'a Ends,
    /// What the rule allows.
    pub way: Way,
    /// The repository at the source.
    pub from: &'a Repository,
    /// The repository at the target.
    pub there: &'a Repository,
    /// The tag.
    pub tag: &'a Tag,
    /// Where it is written.
    pub to: Side,
    /// What it is to point to.
    pub digest: &'a Digest,
    /// What that side had when it was decided.
    pub replaces: Option<&'a Digest>,
    /// What is remembered of it.
    pub known: &'a Known,
}

impl Trail<'_> {
    /// To be done just before the tag is written.
    ///
    /// # Errors
    /// `Conflict` when a master has changed since it was decided; or when the journal cannot be written.
    pub async fn before(&self) -> Outcome<()> {
        if self.way.two_way {
            self.check().await?;
        }
        if self.way.two_way || self.way.deletes == Deletes::Review {
            let intent = Some(Intent { to: self.to, digest: self.digest.clone() });
            self.ends.notes.now(vec![self.note(Known { intent, ..self.known.clone() })]).await?;
        }
        Ok(())
    }

    /// Both sides still show what was seen when it was decided.
    async fn check(&self) -> Outcome<()> {
        let source = look(self.ends.source.as_ref(), self.from, self.tag);
        let target = look(self.ends.target.as_ref(), self.there, self.tag);
        let (source, target) = tokio::join!(source, target);
        let (ahead, behind) = if self.to == Side::Target { (source, target) } else { (target, source) };
        for sight in [&ahead, &behind] {
            if let Sight::Unknown(why) = sight {
                return Err(Fault::new(Kind::Unreachable, why.safe().into_owned())
                    .because("both sides are asked once more before a tag is written"));
            }
        }
        let is_as_seen = ahead.digest() == Some(self.digest) && behind.digest() == self.replaces;
        // What is there already needs no write, and is as it should be.
        if is_as_seen || (ahead.digest() == Some(self.digest) && behind == ahead) {
            return Ok(());
        }
        let side = if ahead.digest() == Some(self.digest) { self.to } else { self.to.other() };
        let text = format!("{} was changed at the {} meanwhile: nothing was written", self.tag, side.noun());
        Err(Fault::new(Kind::Conflict, text).hint("the next run compares it anew"))
    }

    /// What is remembered once the tag is written.
    pub fn arrived(&self) -> Note {
        let there = Sight::There(self.digest.clone());
        self.note(self.known.learn(&there, &there, self.ends.clock.now()))
    }

    fn note(&self, known: Known) -> Note {
        remember(self.ends, self.from, self.there, self.tag, known)
    }
}

/// The note that this is remembered of a tag, whatever was before.
pub fn remember(ends: &Ends, from: &Repository, there: &Repository, tag: &Tag, known: Known) -> Note {
    let (line, from, to) = (ends.line.clone(), from.clone(), there.clone());
    Note::Known(Box::new(Remembered { line, from, to, tag: tag.clone(), before: None, known }))
}
