-- The journal of replication: what a crash leaves is found again here.
CREATE TABLE runs (
  id         INTEGER PRIMARY KEY,
  rule       TEXT NOT NULL,
  over       INTEGER NOT NULL,
  record     TEXT NOT NULL
) STRICT;
CREATE INDEX runs_open ON runs (id) WHERE over = 0;
CREATE INDEX runs_rule ON runs (rule, id);

-- The tags of a run that were not the same on both sides.
CREATE TABLE run_tags (
  run        INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  record     TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Where in a registry a blob was sent to: written before its first byte, so that no crash leaves an unknown one. A hint,
-- which the registry itself settles when the blob is mounted from there.
CREATE TABLE placed (
  registry   TEXT NOT NULL,
  digest     TEXT NOT NULL,
  repository TEXT NOT NULL,
  PRIMARY KEY (registry, digest, repository)
) STRICT, WITHOUT ROWID;

-- What each tag pointed to when both ends of a line were last equal, and at which end it came to be.
CREATE TABLE seen_tags (
  source     TEXT NOT NULL,
  target     TEXT NOT NULL,
  repository TEXT NOT NULL,
  tag        TEXT NOT NULL,
  digest     TEXT NOT NULL,
  origin     TEXT NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (source, target, repository, tag)
) STRICT, WITHOUT ROWID;
