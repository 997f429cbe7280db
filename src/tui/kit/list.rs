//! A cursor that is pinned to an object's id, not to a row number.

/// Where the cursor of a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<K> {
    /// The object under the cursor.
    pub at: Option<K>,
    /// Its place when the list was last settled.
    pub index: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Cursor { at: None, index: 0 }
    }
}

impl<K: Clone + PartialEq> Cursor<K> {
    /// Finds the object again in a new list. If it is gone, the cursor falls to the object now nearest to its place.
    /// Returns true when the cursor is on another object than before.
    pub fn settle(&mut self, keys: &[K]) -> bool {
        let before = self.at.clone();
        if let Some(found) = self.at.as_ref().and_then(|at| keys.iter().position(|k| k == at)) {
            self.index = found;
        } else {
            self.index = self.index.min(keys.len().saturating_sub(1));
            self.at = keys.get(self.index).cloned();
        }
        before != self.at
    }

    /// Moves by so many rows.
    pub fn step(&mut self, keys: &[K], by: i64) {
        let last = i64::try_from(keys.len()).unwrap_or(i64::MAX) - 1;
        let to = i64::try_from(self.index).unwrap_or(0).saturating_add(by).clamp(0, last.max(0));
        self.index = usize::try_from(to).unwrap_or(0);
        self.at = keys.get(self.index).cloned();
    }
}

/// The first line to show, so that line `at` is visible in `height` lines, near the middle when it can be.
pub fn top(at: usize, lines: usize, height: usize) -> usize {
    if lines <= height {
        return 0;
    }
    at.saturating_sub(height / 2).min(lines - height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_follows_its_object() {
        let mut cursor = Cursor::default();
        cursor.settle(&["a", "b", "c"]);
        cursor.step(&["a", "b", "c"], 1);
        assert!(!cursor.settle(&["0", "a", "b", "c"]));
        assert_eq!((cursor.at, cursor.index), (Some("b"), 2));
        assert!(cursor.settle(&["0", "a", "c"]));
        assert_eq!(cursor.at, Some("c"));
        assert!(cursor.settle(&[]));
        assert_eq!(cursor.at, None);
        cursor.step(&[], 5);
        assert_eq!(cursor.at, None);
        assert_eq!([top(0, 10, 4), top(5, 10, 4), top(9, 10, 4), top(2, 3, 4)], [0, 3, 6, 0]);
    }
}
