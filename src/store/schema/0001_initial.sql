-- The first schema. Durable state of one install. Nouns that only the engine reads are kept as JSON.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE hosts (
  id       TEXT PRIMARY KEY,
  config   TEXT NOT NULL
) STRICT;

CREATE TABLE identities (
  host     TEXT PRIMARY KEY,
  identity TEXT NOT NULL
) STRICT;

CREATE TABLE pools (
  id       TEXT PRIMARY KEY,
  want     INTEGER NOT NULL CHECK (want >= 0),
  version  INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  record   TEXT NOT NULL
) STRICT;

-- Every specification that was ever pushed, kept for good.
CREATE TABLE revisions (
  pool     TEXT NOT NULL,
  revision INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  by       TEXT NOT NULL,
  spec     TEXT NOT NULL,
  source   TEXT NOT NULL,
  PRIMARY KEY (pool, revision)
) STRICT;

CREATE TABLE instances (
  pool     TEXT NOT NULL REFERENCES pools (id) ON DELETE CASCADE,
  slot     INTEGER NOT NULL CHECK (slot > 0),
  record   TEXT NOT NULL,
  PRIMARY KEY (pool, slot)
) STRICT;

CREATE TABLE operations (
  id       INTEGER PRIMARY KEY,
  over     INTEGER NOT NULL,
  record   TEXT NOT NULL
) STRICT;
CREATE INDEX operations_open ON operations (id) WHERE over = 0;

CREATE TABLE queued (
  op       INTEGER PRIMARY KEY REFERENCES operations (id),
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE journal (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  at       INTEGER NOT NULL,
  what     TEXT NOT NULL,
  by       TEXT NOT NULL,
  op       INTEGER,
  pool     TEXT,
  slot     INTEGER,
  host     TEXT,
  text     TEXT NOT NULL
) STRICT;
CREATE INDEX journal_pool ON journal (pool, seq) WHERE pool IS NOT NULL;
CREATE INDEX journal_op ON journal (op, seq) WHERE op IS NOT NULL;
