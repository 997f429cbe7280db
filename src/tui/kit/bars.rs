//! Health bars, progress bars and sparklines in one line of cells.

/// A bar of `cells`: full where healthy, half where not yet decided, empty where missing. A single missing
/// container always leaves a cell that is not full.
pub fn health(want: u32, healthy: u32, checking: u32, cells: u32) -> String {
    if want == 0 {
        return "·".repeat(cells as usize);
    }
    let share = |n: u32| u64::from(n.min(want)) * u64::from(cells) / u64::from(want);
    let full = share(healthy);
    let half = share(healthy.saturating_add(checking))
        .saturating_sub(full)
        .max(u64::from(checking > 0 && full < u64::from(cells)));
    let rest = u64::from(cells).saturating_sub(full + half);
    let mut bar = String::new();
    for (n, sign) in [(full, '■'), (half, '◧'), (rest, '□')] {
        bar.extend((0..n).map(|_| sign));
    }
    bar
}

/// A progress bar.
pub fn progress(done: u32, of: u32, cells: u32) -> String {
    let full = if of == 0 { 0 } else { u64::from(done.min(of)) * u64::from(cells) / u64::from(of) };
    (0..u64::from(cells)).map(|i| if i < full { '━' } else { '─' }).collect()
}

/// A sparkline; `None` is a cell without a measurement.
pub fn spark(values: &[Option<u64>], top: u64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let level = |v: u64| usize::try_from((v.saturating_mul(8) / top.max(1)).min(7)).unwrap_or(7);
    values.iter().map(|v| v.map_or(' ', |v| LEVELS[level(v)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_never_look_better_than_it_is() {
        assert_eq!(health(12, 12, 0, 10), "■■■■■■■■■■");
        assert_eq!(health(100, 99, 0, 10), "■■■■■■■■■□");
        assert_eq!(health(100, 90, 10, 10), "■■■■■■■■■◧");
        assert_eq!(health(10, 8, 0, 10), "■■■■■■■■□□");
        assert_eq!(health(0, 0, 0, 4), "····");
        assert_eq!(progress(1, 4, 8), "━━──────");
        assert_eq!(spark(&[None, Some(0), Some(50), Some(100)], 100), " ▁▅█");
    }
}
