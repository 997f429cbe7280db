//! The pages of a list, with an end to them: a registry whose list goes round, or on for ever, is told so.

use std::collections::BTreeSet;

use crate::base::fault::{Fault, Kind, Outcome};

/// Pages of one list, at most: a list that goes on longer has no end.
pub const PAGES_MAX: usize = 20_000;

/// How far a list was read.
#[derive(Debug, Default)]
pub struct Pages {
    next: Option<String>,
    seen: BTreeSet<String>,
    count: usize,
}

impl Pages {
    /// Where the next page begins; none at the first one, and behind the last.
    pub fn next(&self) -> Option<String> {
        self.next.clone()
    }

    /// Pages that were read.
    pub fn count(&self) -> usize {
        self.count
    }

    /// True when the last page was read.
    pub fn is_over(&self) -> bool {
        self.count > 0 && self.next.is_none()
    }

    /// A page was read, and this is where it says that the next one begins. True when there is one.
    ///
    /// # Errors
    /// When that page was read before, or there are too many.
    pub fn turn(&mut self, next: Option<String>) -> Outcome<bool> {
        self.count += 1;
        if let Some(next) = &next {
            if !self.seen.insert(next.clone()) {
                let text = "the list has no end: it comes back to a page that was read";
                return Err(Fault::new(Kind::Invalid, text)
                    .hint("look at what stands before the registry, or at its log"));
            }
            if self.count >= PAGES_MAX {
                return Err(Fault::new(Kind::Exhausted, format!("the list has more than {PAGES_MAX} pages")));
            }
        }
        self.next = next;
        Ok(self.next.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_or_is_told_to_have_no_end() {
        let mut pages = Pages::default();
        assert!(!pages.is_over());
        assert!(pages.turn(Some("a".into())).unwrap() && pages.turn(Some("b".into())).unwrap());
        assert_eq!(pages.next().as_deref(), Some("b"));
        assert!(pages.turn(Some("a".into())).unwrap_err().to_string().contains("no end"), "a, b, a");
        let mut pages = Pages::default();
        assert!(!pages.turn(None).unwrap() && pages.is_over());
        let mut pages = Pages::default();
        let fault = (0..).find_map(|n| pages.turn(Some(format!("p{n}"))).err()).unwrap();
        assert_eq!((fault.kind, pages.count()), (Kind::Exhausted, PAGES_MAX));
    }
}
