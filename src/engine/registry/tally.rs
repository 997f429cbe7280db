//! What the two sides of each line show of the tags that are remembered: what deletions are held against.

use std::sync::{Mutex, PoisonError};

use crate::base::fault::Fault;
use crate::base::text::Untrusted;
use crate::model::replication::known::{Known, Side};
use crate::plan::replicate::deletes::Listing;
use crate::plan::replicate::difference::Sight;

/// Counts of one repository, by line.
pub struct Tally(Mutex<Vec<Line>>);

#[derive(Clone, Default)]
struct Line {
    known: u32,
    sides: [One; 2],
}

#[derive(Clone, Default)]
struct One {
    found: u32,
    trouble: Option<Untrusted>,
}

impl Tally {
    /// Nothing counted yet, of so many lines.
    pub fn new(lines: usize) -> Tally {
        Tally(Mutex::new(vec![Line::default(); lines]))
    }

    /// Counts a tag.
    pub fn count(&self, line: usize, known: &Known, source: &Sight, target: &Sight) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get_mut(line) else { return };
        let is_known = known.last.is_some();
        line.known += u32::from(is_known);
        for (side, sight) in line.sides.iter_mut().zip([source, target]) {
            match sight {
                Sight::There(_) => side.found += u32::from(is_known),
                Sight::Absent => {}
                Sight::Unknown(why) => drop(side.trouble.get_or_insert_with(|| why.clone())),
            }
        }
    }

    /// What the two sides of a line showed. `unlisted` is why the target could not be listed.
    pub fn listings(&self, line: usize, unlisted: Option<&Fault>) -> Vec<(Side, Listing)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get(line) else { return Vec::new() };
        let sides = [Side::Source, Side::Target].into_iter().zip(&line.sides);
        sides
            .map(|(side, one)| {
                let unlisted =
                    unlisted.filter(|_| side == Side::Target).map(|f| Untrusted::from(f.to_string()));
                let trouble = unlisted.or_else(|| one.trouble.clone());
                (side, Listing { known: line.known, found: trouble.map_or(Ok(one.found), Err) })
            })
            .collect()
    }
}
