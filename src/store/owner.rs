//! The one owner of the database: jobs queue up (64 at most), those that wait together share a commit.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::base::clock::{Millis, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{InstallId, OpId, PoolId};
use crate::model::desired::{Desired, Write};
use crate::model::journal::Entry;
use crate::model::operation::Operation;
use crate::store::fault::from_sqlite;
use crate::store::journal::Filter;
use crate::store::replication::Note;
use crate::store::{journal, load, open, replication, write};

/// Jobs that may wait; a caller beyond that waits itself.
const JOBS_MAX: usize = 64;

enum Job {
    Write {
        at: Millis,
        writes: Arc<Vec<Write>>,
        done: oneshot::Sender<Outcome<()>>,
    },
    Replication {
        notes: Vec<Note>,
        done: oneshot::Sender<Outcome<()>>,
    },
    /// Reads, and hands the answer on by itself.
    Read(Box<dyn FnOnce(&Connection) + Send>),
    Journal {
        filter: Filter,
        done: oneshot::Sender<Outcome<Vec<Entry>>>,
    },
    Operations {
        limit: u32,
        done: oneshot::Sender<Outcome<Vec<Operation>>>,
    },
}

/// A handle to the durable state. Cheap to clone; the connection closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    clock: SharedClock,
}

impl std::fmt::Debug for dyn crate::base::clock::Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// What opening the state gives.
pub struct Opened {
    /// The handle for writing and asking.
    pub store: Store,
    /// What is wanted, as last written.
    pub desired: Desired,
    /// The epoch that this holder has now: one more than the one before.
    pub epoch: u64,
}

impl Store {
    /// Opens the state of a directory for writing, with the next epoch. The caller holds the directory's lock.
    ///
    /// # Errors
    /// When it cannot be opened, read or written, or was written by a newer longshore.
    pub async fn open(dir: &Path, clock: SharedClock, fresh_install: InstallId) -> Outcome<Opened> {
        let dir = dir.to_owned();
        let task_dir = dir.clone();
        let (connection, desired, epoch) = blocking(move || {
            let mut connection = open::open(&task_dir)?;
            // Nothing is acknowledged yet: the first commit that is flushes the epoch with it, the screen need not wait.
            open::survive_power_cuts(&connection, false)?;
            let epoch = begin_epoch(&mut connection, &fresh_install)?;
            open::survive_power_cuts(&connection, true)?;
            let desired = load::load(&connection)?;
            Ok((connection, desired, epoch))
        })
        .await?;
        let (jobs, inbox) = mpsc::channel(JOBS_MAX);
        let held = (connection, file_id(&dir));
        tokio::spawn(own(held, dir, epoch, inbox));
        Ok(Opened { store: Store { jobs, clock }, desired, epoch })
    }

    /// Reads the state of a directory without writing; `None` when there is none yet. Writes through this handle are refused.
    ///
    /// # Errors
    /// When it cannot be read, or was written by a newer longshore.
    pub async fn open_read_only(dir: &Path, clock: SharedClock) -> Outcome<Option<(Store, Desired)>> {
        let dir = dir.to_owned();
        let opened = blocking(move || match open::open_read_only(&dir)? {
            None => Ok(None),
            Some(connection) => {
                let desired = load::load(&connection)?;
                Ok(Some((connection, dir, desired)))
            }
        });
        Ok(opened.await?.map(|(connection, dir, desired)| {
            let (jobs, inbox) = mpsc::channel(JOBS_MAX);
            let held = (connection, file_id(&dir));
            tokio::spawn(own(held, dir, u64::MAX, inbox));
            (Store { jobs, clock }, desired)
        }))
    }

    /// Makes a list of changes durable, all or none. When this returns `Ok`, they survive a crash and a power cut.
    ///
    /// # Errors
    /// When the disk says no, or another core has taken over (`Fenced`).
    pub async fn apply(&self, writes: impl Into<Arc<Vec<Write>>>) -> Outcome<()> {
        let (at, writes) = (self.clock.now(), writes.into());
        self.ask(|done| Job::Write { at, writes, done }).await
    }

    /// Makes notes about replication durable, all or none; they share a commit with whatever waits.
    ///
    /// # Errors
    /// When the disk says no, or another core has taken over (`Fenced`).
    pub async fn note(&self, notes: Vec<Note>) -> Outcome<()> {
        self.ask(|done| Job::Replication { notes, done }).await
    }

    /// Reads something, after all that was given to be written before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.ask(|done| {
            Job::Read(Box::new(move |connection| {
                // Whoever asked may have given up.
                let _ = done.send(read(connection));
            }))
        })
        .await
    }

    /// Lines of the journal, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn journal(
        &self,
        before: Option<u64>,
        limit: u32,
        pool: Option<PoolId>,
        op: Option<OpId>,
    ) -> Outcome<Vec<Entry>> {
        let filter = Filter { before, limit, pool, op };
        self.ask(|done| Job::Journal { filter, done }).await
    }

    /// Operations, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn operations(&self, limit: u32) -> Outcome<Vec<Operation>> {
        self.ask(|done| Job::Operations { limit, done }).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Outcome<T>>) -> Job) -> Outcome<T> {
        let (done, answer) = oneshot::channel();
        let gone = || Fault::new(Kind::Bug, "the state's owner has stopped").hint("start longshore again");
        self.jobs.send(job(done)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Fault::new(Kind::Bug, format!("a job on the state failed: {e}"))))
}

fn begin_epoch(connection: &mut Connection, fresh: &InstallId) -> Outcome<u64> {
    let tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| from_sqlite(&e))?;
    let epoch = load::meta(&tx, "epoch")?.and_then(|e| e.parse::<u64>().ok()).unwrap_or(0) + 1;
    let put = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    tx.execute(put, ("epoch", epoch.to_string())).map_err(|e| from_sqlite(&e))?;
    if load::meta(&tx, "install")?.is_none() {
        tx.execute(put, ("install", fresh.to_string())).map_err(|e| from_sqlite(&e))?;
    }
    tx.commit().map_err(|e| from_sqlite(&e))?;
    Ok(epoch)
}

/// Device and inode of the database's file: whether it is still the one that is open.
type FileId = Option<(u64, u64)>;

fn file_id(dir: &Path) -> FileId {
    std::fs::metadata(dir.join(open::FILE)).ok().map(|meta| (meta.dev(), meta.ino()))
}

async fn own(held: (Connection, FileId), dir: PathBuf, epoch: u64, mut inbox: mpsc::Receiver<Job>) {
    let mut connection = Some(held);
    let mut batch = Vec::with_capacity(JOBS_MAX);
    while inbox.recv_many(&mut batch, JOBS_MAX).await > 0 {
        let jobs = std::mem::take(&mut batch);
        let held = connection.take();
        let dir = dir.clone();
        // A job that panics takes the connection with it: the next batch opens a new one.
        connection = tokio::task::spawn_blocking(move || {
            let (mut held, file) =
                held.or_else(|| open::open(&dir).ok().map(|fresh| (fresh, file_id(&dir))))?;
            let is_there = || if file_id(&dir) == file { Ok(()) } else { Err(moved(&dir)) };
            serve(&mut held, epoch, jobs, &is_there);
            Some((held, file))
        })
        .await
        .unwrap_or(None);
    }
}

/// What is written to a file that nobody can open any more is not durable.
fn moved(dir: &Path) -> Fault {
    let file = dir.join(open::FILE);
    Fault::new(
        Kind::Refused,
        format!("the state {} was removed or replaced while it was in use", file.display()),
    )
    .hint("put it back, or start longshore again with a new one: until then nothing is changed")
}

fn serve(connection: &mut Connection, epoch: u64, jobs: Vec<Job>, is_there: &dyn Fn() -> Outcome<()>) {
    let mut writes = Vec::new();
    for job in jobs {
        match job {
            Job::Write { at, writes: list, done } => writes.push((Changes::Wanted(at, list), done)),
            Job::Replication { notes, done } => writes.push((Changes::Replicated(notes), done)),
            Job::Read(read) => {
                commit(connection, epoch, std::mem::take(&mut writes), is_there);
                read(connection);
            }
            Job::Journal { filter, done } => {
                commit(connection, epoch, std::mem::take(&mut writes), is_there);
                let _ = done.send(journal::journal(connection, &filter));
            }
            Job::Operations { limit, done } => {
                commit(connection, epoch, std::mem::take(&mut writes), is_there);
                let _ = done.send(journal::operations(connection, limit));
            }
        }
    }
    commit(connection, epoch, writes, is_there);
}

/// What one caller wants to have written.
enum Changes {
    Wanted(Millis, Arc<Vec<Write>>),
    Replicated(Vec<Note>),
}

type Waiting = (Changes, oneshot::Sender<Outcome<()>>);

/// One transaction for all that wait together; when it fails, each gets the reason and nothing is changed.
fn commit(
    connection: &mut Connection,
    epoch: u64,
    waiting: Vec<Waiting>,
    is_there: &dyn Fn() -> Outcome<()>,
) {
    if waiting.is_empty() {
        return;
    }
    let result = is_there().and_then(|()| transact(connection, epoch, &waiting));
    for (_, done) in waiting {
        let _ = done.send(result.clone());
    }
}

fn transact(connection: &mut Connection, epoch: u64, waiting: &[Waiting]) -> Outcome<()> {
    let tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| from_sqlite(&e))?;
    check_epoch(&tx, epoch)?;
    for (changes, _) in waiting {
        match changes {
            Changes::Wanted(at, writes) => {
                writes.iter().try_for_each(|change| write::write(&tx, *at, change))?;
            }
            Changes::Replicated(notes) => notes.iter().try_for_each(|note| replication::write(&tx, note))?,
        }
    }
    tx.commit().map_err(|e| from_sqlite(&e))
}

fn check_epoch(tx: &Transaction<'_>, epoch: u64) -> Outcome<()> {
    let present = load::meta(tx, "epoch")?.and_then(|e| e.parse::<u64>().ok());
    if present == Some(epoch) {
        return Ok(());
    }
    Err(Fault::new(Kind::Fenced, "another longshore engine has taken over this state directory")
        .hint("this process writes no more; start longshore again to work through the new engine"))
}

#[cfg(test)]
mod tests;
