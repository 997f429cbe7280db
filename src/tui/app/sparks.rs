//! CPU of the last 15 minutes of each pool, kept by the console from the snapshots that it saw.

use std::collections::{BTreeMap, VecDeque};

use crate::base::clock::Millis;
use crate::base::ids::PoolId;
use crate::tui::kit::bars;
use crate::view::pools::PoolRow;

/// Cells of a line.
pub const CELLS: usize = 10;
/// Time of one cell: ten make 15 minutes.
pub const CELL_MS: i64 = 90_000;

/// The history of all pools.
#[derive(Clone, Debug, Default)]
pub struct Sparks(BTreeMap<PoolId, VecDeque<Cell>>);

#[derive(Clone, Copy, Debug)]
struct Cell {
    bucket: i64,
    sum: u64,
    samples: u64,
}

impl Sparks {
    /// Adds one snapshot's use.
    pub fn add(&mut self, at: Millis, rows: &[PoolRow]) {
        let bucket = at.0.div_euclid(CELL_MS);
        self.0.retain(|_, cells| cells.back().is_some_and(|c| bucket - c.bucket < 2 * CELLS as i64));
        for row in rows.iter().filter(|r| r.used.measured > 0) {
            let cells = self.0.entry(row.id.clone()).or_default();
            match cells.back_mut() {
                Some(last) if last.bucket == bucket => {
                    last.sum += row.used.cpu_milli;
                    last.samples += 1;
                }
                _ => cells.push_back(Cell { bucket, sum: row.used.cpu_milli, samples: 1 }),
            }
            while cells.len() > CELLS {
                cells.pop_front();
            }
        }
    }

    /// The line of a pool: its highest cell is full, unless it never used a tenth of a core.
    pub fn line(&self, pool: &PoolId) -> String {
        let Some(cells) = self.0.get(pool) else { return String::new() };
        let Some(newest) = cells.back().map(|c| c.bucket) else { return String::new() };
        let oldest = newest - CELLS as i64 + 1;
        let value = |b: i64| cells.iter().find(|c| c.bucket == b).map(|c| c.sum / c.samples.max(1));
        let values: Vec<Option<u64>> = (oldest..=newest).map(value).collect();
        let top = values.iter().flatten().max().copied().unwrap_or(0).max(100);
        bars::spark(&values, top)
    }
}
