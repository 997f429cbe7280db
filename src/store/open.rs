//! Opening the database: the state directory's rights, its file system, and SQLite's settings.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::store::fault::from_sqlite;
use crate::store::schema;

/// The database's file in the state directory.
pub const FILE: &str = "longshore.db";
/// How long a write waits for another program's transaction before it is refused.
const BUSY: Duration = Duration::from_secs(3);
/// Page cache in KiB: the whole state is small, the console's memory is counted.
const CACHE_KIB: i64 = 512;

/// Makes the state directory if it is not there (mode 0700) and checks that it is ours and on a local file system.
///
/// # Errors
/// When it cannot be made, belongs to somebody else, can be written by others, or lies on a network file system.
pub fn prepare_dir(dir: &Path) -> Outcome<()> {
    let shown = dir.display();
    if !dir.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| {
            Fault::new(Kind::Refused, format!("the state directory {shown} cannot be made: {e}"))
                .hint("give another with --state DIR")
        })?;
    }
    let meta = std::fs::metadata(dir).map_err(|e| {
        Fault::new(Kind::Refused, format!("the state directory {shown} cannot be read: {e}"))
            .hint("give another with --state DIR")
    })?;
    if !meta.is_dir() {
        return Err(Fault::new(Kind::Invalid, format!("{shown} is not a directory"))
            .hint("give a directory with --state DIR"));
    }
    let me = nix::unistd::geteuid();
    if meta.uid() != me.as_raw() {
        return Err(Fault::new(
            Kind::Refused,
            format!("the state directory {shown} belongs to user {}, not to {me}", meta.uid()),
        )
        .hint("give a directory of your own with --state DIR"));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(Fault::new(
            Kind::Refused,
            format!("the state directory {shown} can be written by everybody"),
        )
        .hint(format!("run: chmod o-w {shown}")));
    }
    refuse_network_fs(dir)
}

/// Refuses file systems on which SQLite's WAL does not work (shared memory must be on one host) or locks may lie.
fn refuse_network_fs(dir: &Path) -> Outcome<()> {
    /// Magic numbers from statfs(2).
    const NETWORK: &[(u64, &str)] = &[
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x517b, "SMB"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
    ];
    let Ok(stat) = nix::sys::statfs::statfs(dir) else { return Ok(()) };
    #[expect(clippy::cast_sign_loss, reason = "the kernel's magic numbers are 32-bit patterns")]
    let magic = (stat.filesystem_type().0 as u64) & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        None => Ok(()),
        Some((_, name)) => Err(Fault::new(
            Kind::Refused,
            format!(
                "the state directory {} lies on a {name} file system, where SQLite can lose data",
                dir.display()
            ),
        )
        .hint("give a directory on a local disk with --state DIR")),
    }
}

/// Opens the database of a state directory for the one owner, and migrates it.
///
/// # Errors
/// When it cannot be opened, is damaged, or was written by a newer longshore.
pub fn open(dir: &Path) -> Outcome<Connection> {
    prepare_dir(dir)?;
    let path = dir.join(FILE);
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    schema::refuse_newer(schema::version(&connection)?)?;
    set(&connection, &path, "journal_mode", &"WAL")?;
    survive_power_cuts(&connection, true)?;
    set(&connection, &path, "foreign_keys", &true)?;
    schema::migrate(&mut connection)?;
    restrict(&path);
    Ok(connection)
}

/// Whether each commit is flushed to the disk (as all are that are acknowledged) or only with the next one that is: what
/// is not flushed survives the death of this process all the same, and a later flush covers what was written before it.
///
/// # Errors
/// When SQLite refuses the setting.
pub fn survive_power_cuts(connection: &Connection, each: bool) -> Outcome<()> {
    let mode = if each { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", mode).map_err(|e| from_sqlite(&e))
}

/// Opens it for reading only: a console that may not write, or the journal while no engine runs.
///
/// # Errors
/// When there is none, or it was written by a newer longshore.
pub fn open_read_only(dir: &Path) -> Outcome<Option<Connection>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let version = schema::version(&connection)?;
    schema::refuse_newer(version)?;
    Ok((version > 0).then_some(connection))
}

fn connect(path: &Path, flags: OpenFlags) -> Outcome<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let real: PathBuf =
        path.parent().and_then(|d| d.canonicalize().ok()).map_or_else(|| path.to_owned(), |d| d.join(FILE));
    let connection = Connection::open_with_flags(&real, flags)
        .map_err(|e| from_sqlite(&e).because(format!("{}", path.display())))?;
    connection.busy_timeout(BUSY).map_err(|e| from_sqlite(&e))?;
    set(&connection, path, "mmap_size", &0)?;
    set(&connection, path, "cache_size", &-CACHE_KIB)?;
    Ok(connection)
}

/// Sets a pragma. The first one reads the file, so this is where a damaged one shows.
fn set(connection: &Connection, path: &Path, name: &str, value: &dyn rusqlite::ToSql) -> Outcome<()> {
    connection
        .pragma_update(None, name, value)
        .map_err(|e| from_sqlite(&e).because(path.display().to_string()))
}

/// The files hold what people run: nobody else may read them, whatever the umask was.
fn restrict(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        // A missing -wal is fine: SQLite makes it with the main file's rights.
        let _ = std::fs::set_permissions(PathBuf::from(file), Permissions::from_mode(0o600));
    }
}
