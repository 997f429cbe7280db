//! The proof of a rule: every tag compared, every manifest read, every blob looked for at both ends. Nothing is moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::Sha256;
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text::{Untrusted, count};
use crate::engine::registry::pace::again;
use crate::engine::registry::replicator::Handle;
use crate::engine::registry::steady::Steady;
use crate::model::journal::What;
use crate::model::oci::{Descriptor, Digest, Platform, Reference, Repository};
use crate::model::replication::review::{EndReport, FINDINGS_MAX, Report};
use crate::model::replication::{DiffRow, Difference, Rule};
use crate::plan::replicate::filter::Selector;
use crate::plan::replicate::work::is_carried;
use crate::ports::registry::RegistryClient;
use crate::store::replication::Note;

/// Images that are looked through at a time.
const IMAGES: usize = 8;
/// A call is tried so often.
const TRIES: u32 = 4;
/// Indexes within indexes are followed so far.
const DEPTH_MAX: u32 = 8;

/// Sentences about what is not as it should be.
#[derive(Default)]
struct Findings {
    first: Vec<Untrusted>,
    all: u32,
}

impl Findings {
    fn add(&mut self, text: impl Into<Untrusted>) {
        self.all += 1;
        if self.first.len() < FINDINGS_MAX {
            self.first.push(text.into());
        }
    }
}

/// One registry being looked through.
struct End<'a> {
    name: &'a RegistryName,
    registry: &'a Arc<dyn RegistryClient>,
    platforms: &'a [Platform],
    read: bool,
    seen: Mutex<BTreeSet<(Repository, Digest)>>,
    report: Mutex<EndReport>,
    findings: &'a Mutex<Findings>,
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    /// Looks for every tag, manifest and blob of a rule at both ends; `read` also reads each blob and holds it against its
    /// digest. The report is kept,
    /// but by one that only looks.
    ///
    /// # Errors
    /// When the ends cannot be compared at all, or the report cannot be kept.
    pub async fn verify(&self, rule: &Rule, read: bool) -> Outcome<Report> {
        let at = self.clock().now();
        let selector = Selector::of(rule)?;
        let diff = self.diff(rule).await?;
        let findings = Mutex::new(Findings::default());
        diff.unknown.iter().for_each(|fault| lock(&findings).add(fault.to_string()));
        for (repository, tag, at) in &diff.lost {
            lock(&findings).add(format!(
                "{repository}:{tag} was on both sides and is gone from {at}: accept that by `longshore replicate deletes {name}`, \
                 or bring it back by `longshore replicate rejoin {name}`",
                name = rule.name
            ));
        }
        let mut report = Report {
            rule: rule.name.clone(),
            at,
            took_ms: 0,
            read,
            tags: 0,
            same: 0,
            conflicts: 0,
            extra: 0,
            ends: Vec::new(),
            findings: Vec::new(),
            found: 0,
        };
        let mut roots = Roots::new();
        for row in &diff.rows {
            count_row(&mut report, row, &mut lock(&findings));
            add_roots(&mut roots, row, rule, &selector.at_target(&row.repository)?);
        }
        for (name, roots) in &roots {
            let registry = self.registry(name)?;
            let platforms = if *name == rule.source { &[][..] } else { &rule.platforms };
            let end = End {
                name,
                registry: &registry,
                platforms,
                read,
                seen: Mutex::default(),
                report: Mutex::new(EndReport { registry: name.clone(), manifests: 0, blobs: 0, bytes: 0 }),
                findings: &findings,
            };
            let looks: Vec<BoxFuture<'_, ()>> =
                roots.iter().map(|(of, digest)| end.image(of, digest, 0)).collect();
            let mut looks = stream::iter(looks).buffer_unordered(IMAGES);
            while looks.next().await.is_some() {}
            drop(looks);
            report.ends.push(lock(&end.report).clone());
        }
        let found = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        (report.findings, report.found) = (found.first, found.all);
        report.took_ms = self.clock().now().since(at);
        if self.looks() {
            return Ok(report);
        }
        self.note(vec![Note::Report(Box::new(report.clone()))]).await?;
        let text = told(&report);
        let what = if report.is_whole() { What::Outcome } else { What::Failed };
        self.tell_journal(what, text).await;
        Ok(report)
    }

    /// The reports of a rule that are kept, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn reports(&self, rule: &RuleName) -> Outcome<Vec<Report>> {
        self.store().reports(rule).await
    }
}

/// Images by registry and repository.
type Roots = BTreeMap<RegistryName, BTreeSet<(Repository, Digest)>>;

/// Adds what a compared tag points to at both ends.
fn add_roots(roots: &mut Roots, row: &DiffRow, rule: &Rule, there: &Repository) {
    let is_forward = row.line.from == rule.source;
    let (from, to) = if is_forward { (&row.repository, there) } else { (there, &row.repository) };
    for (name, of, digest) in [(&row.line.from, from, &row.source), (&row.line.to, to, &row.target)] {
        // What is not to be copied is no matter of the rule.
        if let (Some(digest), false) = (digest, row.difference == Difference::Extra) {
            roots.entry(name.clone()).or_default().insert((of.clone(), digest.clone()));
        }
    }
}

/// The report in one sentence, for the journal.
fn told(report: &Report) -> String {
    let blobs: u32 = report.ends.iter().map(|e| e.blobs).sum();
    format!(
        "{}: verified {} and {} at both ends{}: {}",
        report.rule,
        count(report.tags.into(), "tag"),
        count(blobs.into(), "blob"),
        if report.read { ", each read to its end" } else { "" },
        if report.is_whole() { "all is whole".to_owned() } else { count(report.found.into(), "finding") }
    )
}

fn count_row(report: &mut Report, row: &DiffRow, findings: &mut Findings) {
    report.tags += 1;
    let image = format!("{}:{}", row.repository, row.tag);
    match &row.difference {
        Difference::Same => report.same += 1,
        Difference::Extra => report.extra += 1,
        Difference::Conflict => {
            report.conflicts += 1;
            findings.add(format!("{image} is in conflict ({})", row.line));
        }
        Difference::Missing => findings.add(format!("{image} is not at {}", row.line.to)),
        Difference::Behind => {
            findings.add(format!("{image} at {} is not that of {}", row.line.to, row.line.from));
        }
        Difference::Unknown(why) => findings.add(format!("{image} could not be compared: {why}")),
    }
}

impl End<'_> {
    fn bad(&self, of: &Repository, digest: &Digest, why: &str) {
        lock(self.findings).add(format!("{}: {of}@{}: {why}", self.name, digest.short()));
    }

    /// Looks through a manifest and all that it needs, once.
    fn image<'b>(&'b self, of: &'b Repository, digest: &'b Digest, depth: u32) -> BoxFuture<'b, ()> {
        async move {
            if !lock(&self.seen).insert((of.clone(), digest.clone())) {
                return;
            }
            let reference = Reference::Digest(digest.clone());
            let manifest = match again(TRIES, || self.registry.manifest(of, &reference)).await {
                Ok(manifest) if manifest.digest == *digest || digest.algorithm() != "sha256" => manifest,
                Ok(_) => return self.bad(of, digest, "the manifest has another digest"),
                Err(fault) => return self.bad(of, digest, &format!("the manifest: {fault}")),
            };
            lock(&self.report).manifests += 1;
            for blob in &manifest.blobs {
                self.blob(of, blob).await;
            }
            for child in manifest.manifests.iter().filter(|_| depth < DEPTH_MAX) {
                if is_carried(child, &manifest.manifests, self.platforms) {
                    self.image(of, &child.digest, depth + 1).await;
                }
            }
        }
        .boxed()
    }

    async fn blob(&self, of: &Repository, blob: &Descriptor) {
        if !lock(&self.seen).insert((of.clone(), blob.digest.clone())) {
            return;
        }
        let looked = async {
            let size = again(TRIES, || self.registry.has_blob(of, &blob.digest)).await?;
            let wrong = |text: String| Err(Fault::new(Kind::Invalid, text));
            match size {
                None => return wrong("the blob is not there".to_owned()),
                Some(size) if size != blob.size => {
                    return wrong(format!("the blob has {size} bytes instead of {}", blob.size));
                }
                Some(_) => {}
            }
            if self.read { self.read(of, blob).await } else { Ok(()) }
        };
        match looked.await {
            Ok(()) => {
                let mut report = lock(&self.report);
                report.blobs += 1;
                report.bytes += blob.size;
            }
            Err(fault) => self.bad(of, &blob.digest, &fault.to_string()),
        }
    }

    /// Reads a blob to its end.
    async fn read(&self, of: &Repository, blob: &Descriptor) -> Outcome<()> {
        let mut bytes = Steady::new(self.registry.clone(), of.clone(), blob.digest.clone(), blob.size);
        let mut sum = Sha256::default();
        while let Some(piece) = bytes.next().await? {
            sum.update(&piece);
        }
        let is_checked = blob.digest.algorithm() == "sha256";
        if is_checked && sum.hex() != blob.digest.hex() {
            return Err(Fault::new(Kind::Invalid, "the blob's bytes do not have its digest"));
        }
        Ok(())
    }
}
