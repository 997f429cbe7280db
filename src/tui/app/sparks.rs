//! CPU of the last 15 minutes of each pool or host, kept by the console from the snapshots that it saw.

use std::collections::{BTreeMap, VecDeque};

use crate::base::clock::Millis;
use crate::tui::kit::bars;
use crate::view::pools::Used;

/// Cells of a line.
pub const CELLS: usize = 10;
/// Time of one cell: ten make 15 minutes.
pub const CELL_MS: i64 = 90_000;

/// The history of all pools, or of all hosts: at most [`CELLS`] cells each.
#[derive(Clone, Debug)]
pub struct Sparks<K>(BTreeMap<K, VecDeque<Cell>>);

impl<K> Default for Sparks<K> {
    fn default() -> Self {
        Sparks(BTreeMap::new())
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    bucket: i64,
    sum: u64,
    samples: u64,
}

impl<K: Ord + Clone> Sparks<K> {
    /// Adds one snapshot's use: thousandths of a core.
    pub fn add<'a>(&mut self, at: Millis, rows: impl Iterator<Item = (&'a K, &'a Used)>)
    where
        K: 'a,
    {
        let bucket = at.0.div_euclid(CELL_MS);
        self.0.retain(|_, cells| cells.back().is_some_and(|c| bucket - c.bucket < 2 * CELLS as i64));
        for (key, used) in rows.filter(|(_, used)| used.measured > 0) {
            if !self.0.contains_key(key) {
                self.0.insert(key.clone(), VecDeque::new());
            }
            let Some(cells) = self.0.get_mut(key) else { continue };
            match cells.back_mut() {
                Some(last) if last.bucket == bucket => {
                    last.sum += used.cpu_milli;
                    last.samples += 1;
                }
                _ => cells.push_back(Cell { bucket, sum: used.cpu_milli, samples: 1 }),
            }
            while cells.len() > CELLS {
                cells.pop_front();
            }
        }
    }

    /// The line of one of them: its highest cell is full, unless it never used a tenth of a core.
    pub fn line(&self, key: &K) -> String {
        let Some(cells) = self.0.get(key) else { return String::new() };
        let Some(newest) = cells.back().map(|c| c.bucket) else { return String::new() };
        let oldest = newest - CELLS as i64 + 1;
        let value = |b: i64| cells.iter().find(|c| c.bucket == b).map(|c| c.sum / c.samples.max(1));
        let values: Vec<Option<u64>> = (oldest..=newest).map(value).collect();
        let top = values.iter().flatten().max().copied().unwrap_or(0).max(100);
        bars::spark(&values, top)
    }
}
