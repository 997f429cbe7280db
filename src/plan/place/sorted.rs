//! What is read off the classes once for all pools: which has what of an attribute, and the domains that they lie in.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::placement::{Attribute, Strategy};
use crate::plan::place::books::{Books, Class, number};
use crate::plan::place::constraint::{Test, value};
use crate::plan::place::score::{self, Strongest};
use crate::plan::place::terms::Terms;

/// Attributes, and orders of domains, that are kept at most: beyond that all are read anew.
const KEPT: usize = 64;

/// What each class has of one attribute, by number.
#[derive(Default)]
pub(super) struct Column {
    texts: Vec<Option<String>>,
    numbers: HashMap<Option<String>, u32>,
    pub of_class: Vec<u32>,
}

impl Column {
    fn extend(&mut self, attribute: &Attribute, classes: &[Class]) {
        for class in &classes[self.of_class.len()..] {
            let have = value(attribute, &class.sample).map(std::borrow::Cow::into_owned);
            let texts = &mut self.texts;
            let at = *self.numbers.entry(have).or_insert_with_key(|have| {
                texts.push(have.clone());
                number(texts.len() - 1)
            });
            self.of_class.push(at);
        }
    }

    /// Whether a test holds, by number.
    pub fn verdicts(&self, test: &Test) -> Vec<bool> {
        self.texts.iter().map(|have| test.holds_for(have.as_deref())).collect()
    }
}

/// The domains of the classes, for one order of attributes.
pub(super) struct Layout {
    /// The branch of each class.
    pub of_class: Vec<u32>,
    /// The places of each branch's counts, the outermost first. Branches of one domain lie side by side.
    pub paths: Vec<Vec<usize>>,
    /// For each place of a count: the place that it lies in, and its first and last branch.
    pub domains: Vec<(usize, u32, u32)>,
}

impl Layout {
    /// A branch's places: of the domains that were asked for, and of what comes by itself.
    pub fn split(&self, branch: usize, asked: usize) -> (&[usize], &[usize]) {
        let path = self.paths.get(branch).map_or(&[][..], Vec::as_slice);
        path.split_at(asked.min(path.len()))
    }
}

/// Everything that was read off the classes.
#[derive(Default)]
pub(super) struct Sorted {
    columns: HashMap<Attribute, Column>,
    layouts: HashMap<Vec<Attribute>, Arc<Layout>>,
    strengths: Option<(Strongest, Vec<Option<f64>>)>,
}

impl Sorted {
    /// A host came or went; with it a class, perhaps. What a class has of an attribute never changes.
    pub fn forget(&mut self, class: bool) {
        if class {
            self.layouts.clear();
            self.strengths = None;
        }
    }
}

impl Books {
    /// Reads off the classes what these terms need.
    pub fn sort_for(&mut self, terms: &Terms) {
        let tests = terms.tests.iter().chain(terms.wishes.iter().map(|(test, _)| test));
        let levels = self.levels(terms);
        if self.sorted.columns.len() > KEPT {
            self.sorted.columns.clear();
        }
        for attribute in tests.map(|t| &t.constraint.attribute).chain(&levels) {
            if !self.sorted.columns.contains_key(attribute) {
                self.sorted.columns.insert(attribute.clone(), Column::default());
            }
        }
        for (attribute, column) in &mut self.sorted.columns {
            column.extend(attribute, &self.classes);
        }
        if self.sorted.strengths.is_none() {
            let strongest = strongest(&self.classes);
            let of = |c: &Class| score::strength(&c.sample.facts, &c.sample.record, &strongest);
            self.sorted.strengths = Some((strongest, self.classes.iter().map(of).collect()));
        }
        if !self.sorted.layouts.contains_key(&levels) {
            if self.sorted.layouts.len() >= KEPT {
                self.sorted.layouts.clear();
            }
            let layout = Arc::new(self.lay_out(&levels));
            self.sorted.layouts.insert(levels, layout);
        }
    }

    /// The attributes whose values a pool is spread over: those that it asks for, and then by itself the site, if there are
    /// several (only when it is to be spread). Of hosts that hold as many of the pool, one in the site with fewer is better;
    /// but a small site is not loaded as much as a large one, unless that is asked for.
    fn levels(&self, terms: &Terms) -> Vec<Attribute> {
        let mut sites = self.classes.iter().filter(|c| !c.ready.is_empty()).map(|c| c.site);
        let first = sites.next();
        let by_site = terms.strategy == Strategy::Spread && sites.any(|site| Some(site) != first);
        let mut levels = terms.spread.clone();
        if by_site && !levels.contains(&Attribute::Site) {
            levels.push(Attribute::Site);
        }
        levels
    }

    /// The domains, for attributes that were read off.
    pub fn lay_out(&self, levels: &[Attribute]) -> Layout {
        let columns: Vec<&Column> = levels.iter().filter_map(|a| self.column(a)).collect();
        let of = |class: usize| -> Vec<u32> { columns.iter().map(|c| c.of_class[class]).collect() };
        // A class without hosts is no domain: it hangs on the empty path, which is nobody's but without levels.
        let key = |class: usize| if self.classes[class].hosts > 0 { of(class) } else { Vec::new() };
        let mut keys: Vec<Vec<u32>> = (0..self.classes.len()).map(key).collect();
        let by_class = keys.clone();
        keys.sort_unstable();
        keys.dedup();
        let (mut paths, mut domains) = (Vec::new(), Vec::new());
        let mut last: (&[u32], Vec<usize>) = (&[], Vec::new());
        for (branch, key) in keys.iter().enumerate() {
            let same = last.0.iter().zip(key).take_while(|(a, b)| a == b).count();
            last.1.truncate(same);
            for _ in same..key.len() {
                let within = last.1.last().copied().unwrap_or(usize::MAX);
                last.1.push(domains.len());
                domains.push((within, number(branch), number(branch)));
            }
            for at in &last.1 {
                domains[*at].2 = number(branch);
            }
            paths.push(last.1.clone());
            last.0 = key;
        }
        let branch = |key: &Vec<u32>| number(keys.binary_search(key).unwrap_or(0));
        Layout { of_class: by_class.iter().map(branch).collect(), paths, domains }
    }

    /// The domains for these terms, as they were read off last.
    pub fn layout(&self, terms: &Terms) -> Option<Arc<Layout>> {
        self.sorted.layouts.get(&self.levels(terms)).cloned()
    }

    /// What the classes have of an attribute, if it was read off.
    pub fn column(&self, attribute: &Attribute) -> Option<&Column> {
        self.sorted.columns.get(attribute)
    }

    /// The strongest that there is of each, and how strong each class is beside them, as read off last.
    pub fn strengths(&self) -> (Strongest, &[Option<f64>]) {
        self.sorted.strengths.as_ref().map_or((Strongest::default(), &[]), |(most, each)| (*most, each))
    }
}

fn strongest(classes: &[Class]) -> Strongest {
    let mut out = Strongest::default();
    for class in classes.iter().filter(|c| c.hosts > 0) {
        out.cpus = out.cpus.max(class.sample.facts.cpus);
        out.memory = out.memory.max(class.sample.facts.memory);
        out.newest = out.newest.max(class.sample.record.in_service.map(|at| at.0));
    }
    out
}
