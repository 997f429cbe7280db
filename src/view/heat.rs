//! The heat map: all hosts on one screen, by site, each a cell that says how full it is.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::model::host::HostState;
use crate::model::world::World;
use crate::view::uses::Uses;

/// What the cells show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// Memory that is reserved.
    #[default]
    MemoryReserved,
    /// CPU that is reserved.
    CpuReserved,
    /// Memory in use, as far as it is measured.
    MemoryUsed,
    /// CPU in use, as far as it is measured.
    CpuUsed,
}

impl Metric {
    /// The one after this.
    pub fn next(self) -> Metric {
        match self {
            Metric::MemoryReserved => Metric::CpuReserved,
            Metric::CpuReserved => Metric::MemoryUsed,
            Metric::MemoryUsed => Metric::CpuUsed,
            Metric::CpuUsed => Metric::MemoryReserved,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Metric::MemoryReserved => "memory reserved",
            Metric::CpuReserved => "CPU reserved",
            Metric::MemoryUsed => "memory used",
            Metric::CpuUsed => "CPU used",
        }
    }
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heat {
    /// Which.
    pub id: HostId,
    /// Its state.
    pub state: HostState,
    /// Per cent of what it has; `None` when that is not known.
    pub percent: Option<u32>,
}

/// The hosts of one site, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The site; `None` for hosts without one.
    pub site: Option<SiteName>,
    /// Its hosts.
    pub hosts: Vec<Heat>,
}

/// All hosts by site; those without a site come last.
pub fn groups(world: &World, now: Millis, uses: &Uses, metric: Metric) -> Vec<Group> {
    let mut sites: BTreeMap<(bool, Option<SiteName>), Vec<Heat>> = BTreeMap::new();
    for host in world.hosts.values() {
        let (all, taken) = (host.capacity(), host.taken.need);
        let (part, whole) = match metric {
            Metric::MemoryReserved => (taken.memory, all.memory),
            Metric::CpuReserved => (taken.cpu_milli, all.cpu_milli),
            Metric::MemoryUsed => (uses.of(&host.config.id).memory, host.facts.memory),
            Metric::CpuUsed => (uses.of(&host.config.id).cpu_milli, host.facts.cpus * 1000),
        };
        let percent =
            (whole > 0).then(|| u32::try_from(part.saturating_mul(100) / whole).unwrap_or(u32::MAX));
        let site = host.record.site.clone();
        let heat = Heat { id: host.config.id.clone(), state: host.state_at(now), percent };
        sites.entry((site.is_none(), site)).or_default().push(heat);
    }
    sites.into_iter().map(|((_, site), hosts)| Group { site, hosts }).collect()
}

/// One cell: some hosts of a group that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The group.
    pub group: usize,
    /// The first host of it in this cell.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// How the cells lie on the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The lines: what stands at which column, from left to right.
    pub lines: Vec<Vec<(u16, Piece)>>,
    /// Hosts of a cell.
    pub each: usize,
    /// Names stand before their cells, not on lines of their own.
    pub inline: bool,
}

/// What stands on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The name of a group.
    Name(usize),
    /// Some hosts.
    Cell(Cell),
}

impl Layout {
    /// All cells in order.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.lines.iter().flatten().filter_map(|(_, p)| if let Piece::Cell(c) = p { Some(c) } else { None })
    }

    /// The number of the cell `by` lines below that with this number, as near to its column as there is one.
    pub fn below(&self, at: usize, by: i64) -> usize {
        let mut rows: Vec<Vec<(u16, usize)>> = Vec::new();
        let mut number = 0;
        for line in &self.lines {
            let mut row = Vec::new();
            for (x, piece) in line {
                if matches!(piece, Piece::Cell(_)) {
                    row.push((*x, number));
                    number += 1;
                }
            }
            if !row.is_empty() {
                rows.push(row);
            }
        }
        let here = |row: &Vec<(u16, usize)>| row.iter().find(|(_, n)| *n == at).map(|(x, _)| *x);
        let Some((from, x)) = rows.iter().enumerate().find_map(|(i, r)| Some((i, here(r)?))) else {
            return 0;
        };
        let last = i64::try_from(rows.len()).unwrap_or(i64::MAX) - 1;
        let to = i64::try_from(from).unwrap_or(0).saturating_add(by).clamp(0, last);
        let row = usize::try_from(to).ok().and_then(|to| rows.get(to));
        row.and_then(|r| r.iter().min_by_key(|(other, _)| other.abs_diff(x))).map_or(0, |(_, n)| *n)
    }
}

/// Lays the cells out, `groups` are the number of hosts and the columns of the name of each. The first of these that fits:
/// names on lines of their own and cells of two columns; the same with one column; names before their cells; and then as
/// many hosts a cell as it takes. When even that does not fit there are more lines than `height`, and the view scrolls.
pub fn layout(groups: &[(usize, u16)], width: u16, height: u16) -> Layout {
    let room = usize::from(height);
    let headed = [2, 1].into_iter().map(|wide| with_heads(groups, width, wide));
    if let Some(fits) = headed.into_iter().find(|l| l.lines.len() <= room) {
        return fits;
    }
    let largest = groups.iter().map(|(n, _)| *n).max().unwrap_or(1).max(1);
    let hosts: usize = groups.iter().map(|(n, _)| *n).sum();
    let mut each = hosts.div_ceil((usize::from(width) * room).max(1)).max(1);
    loop {
        let map = inline(groups, width, each);
        if map.lines.len() <= room || each >= largest {
            return map;
        }
        // The names take room, too. Steps that grow with the number: few tries, whatever the fleet.
        each += 1 + each / 8;
    }
}

fn cells(group: usize, size: usize, each: usize) -> impl Iterator<Item = Cell> {
    (0..size).step_by(each).map(move |first| Cell { group, first, count: each.min(size - first) })
}

fn with_heads(groups: &[(usize, u16)], width: u16, wide: u16) -> Layout {
    let a_line = usize::from(width / wide).max(1);
    let mut lines = Vec::new();
    for (group, (size, _)) in groups.iter().enumerate() {
        lines.push(vec![(0, Piece::Name(group))]);
        let all: Vec<Cell> = cells(group, *size, 1).collect();
        for row in all.chunks(a_line) {
            lines.push((0..).step_by(usize::from(wide)).zip(row.iter().map(|c| Piece::Cell(*c))).collect());
        }
    }
    Layout { lines, each: 1, inline: false }
}

fn inline(groups: &[(usize, u16)], width: u16, each: usize) -> Layout {
    let mut lines: Vec<Vec<(u16, Piece)>> = vec![Vec::new()];
    let mut x = 0;
    let mut put = |piece: Piece, gap: u16, wide: u16, behind: u16| {
        let before = if x > 0 { gap } else { 0 };
        if x > 0 && x + before + wide + behind > width {
            lines.push(Vec::new());
            x = 0;
        }
        x += if x > 0 { gap } else { 0 };
        lines.last_mut().into_iter().for_each(|l| l.push((x, piece)));
        x += wide;
    };
    for (group, (size, name)) in groups.iter().enumerate() {
        // A name has two spaces before it and one behind, and never stands alone at the end of a line.
        put(Piece::Name(group), 2, name.saturating_add(1), 4);
        cells(group, *size, each).for_each(|c| put(Piece::Cell(c), 0, 1, 0));
    }
    Layout { lines, each, inline: true }
}

/// The sign of some hosts: what needs a person wins, then the fullest. It is told by its form alone.
pub fn sign(hosts: &[Heat]) -> char {
    let has = |state| hosts.iter().any(|h| h.state == state);
    if has(HostState::Lost) {
        '?'
    } else if has(HostState::Draining) {
        '~'
    } else if has(HostState::Cordoned) || has(HostState::Drained) {
        '/'
    } else if has(HostState::Joining) {
        ':'
    } else {
        match hosts.iter().filter_map(|h| h.percent).max() {
            None => '·',
            Some(101..) => '!',
            Some(p) => LEVELS[usize::try_from(p * 8 / 100).unwrap_or(7).min(7)],
        }
    }
}

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn many_hosts_fit_on_a_small_screen() {
        let small = layout(&[(10, 4), (20, 4)], 76, 18);
        assert_eq!((small.inline, small.each, small.lines.len()), (false, 1, 4));
        assert_eq!(small.lines[1][1].0, 2, "two columns each");
        let large = layout(&[(500, 4), (500, 4)], 76, 18);
        assert_eq!((large.inline, large.each, large.lines[1][1].0), (false, 1, 1));
        let sites = layout(&[(100, 6); 10], 76, 18);
        assert_eq!((sites.inline, sites.each), (true, 1));
        let huge = layout(&[(5000, 4), (5000, 4)], 76, 18);
        assert!(huge.each > 1 && huge.lines.len() <= 18, "{} {}", huge.each, huge.lines.len());
        assert_eq!(layout(&[], 76, 18).cells().count(), 0);
    }

    #[test]
    fn states_are_told_without_colour() {
        let heat = |state, percent| Heat { id: HostId::new("h1").unwrap(), state, percent };
        let one = |state, percent| sign(&[heat(state, percent)]);
        assert_eq!(one(HostState::Ready, Some(0)), '▁');
        assert_eq!(one(HostState::Ready, Some(100)), '█');
        assert_eq!(one(HostState::Ready, Some(101)), '!');
        assert_eq!(one(HostState::Ready, None), '·');
        assert_eq!(one(HostState::Lost, Some(5)), '?');
        assert_eq!(sign(&[heat(HostState::Ready, Some(5)), heat(HostState::Cordoned, None)]), '/');
    }

    proptest! {
        #[test]
        fn every_host_has_exactly_one_cell(
            sizes in proptest::collection::vec(1usize..400, 0..12),
            (width, height) in (1u16..200, 1u16..60),
        ) {
            let groups: Vec<(usize, u16)> = sizes.iter().map(|n| (*n, 6)).collect();
            let map = layout(&groups, width, height);
            let mut seen: Vec<usize> = vec![0; sizes.len()];
            for cell in map.cells() {
                prop_assert_eq!(seen[cell.group], cell.first);
                prop_assert!(cell.count > 0);
                seen[cell.group] += cell.count;
            }
            prop_assert_eq!(&seen, &sizes);
            for line in &map.lines {
                prop_assert!(line.windows(2).all(|w| w[0].0 < w[1].0));
            }
            let count = map.cells().count();
            for at in [0, count / 2, count.saturating_sub(1)] {
                for by in [-1, 1, 7] {
                    prop_assert!(map.below(at, by) < count.max(1));
                }
            }
        }
    }
}
