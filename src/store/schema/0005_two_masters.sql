-- What is remembered of each tag between two registries: what both last had, what is being written, what was deleted on both
-- sides. `there` is the repository's name at the target.
CREATE TABLE known_tags (
  source     TEXT NOT NULL,
  target     TEXT NOT NULL,
  repository TEXT NOT NULL,
  there      TEXT NOT NULL,
  tag        TEXT NOT NULL,
  last       TEXT,
  intent_to  TEXT,
  intent     TEXT,
  buried     TEXT,
  buried_at  INTEGER,
  gone_since INTEGER,
  PRIMARY KEY (source, target, repository, there, tag)
) STRICT, WITHOUT ROWID;

INSERT INTO known_tags (source, target, repository, there, tag, last)
  SELECT source, target, repository, repository, tag, digest FROM seen_tags;
DROP TABLE seen_tags;

-- Tags that were changed on both sides, until somebody has chosen and that is done.
CREATE TABLE conflicts (
  rule       TEXT NOT NULL,
  repository TEXT NOT NULL,
  tag        TEXT NOT NULL,
  record     TEXT NOT NULL,
  PRIMARY KEY (rule, repository, tag)
) STRICT, WITHOUT ROWID;

-- Deletions that wait for a yes, and those that are being carried out.
CREATE TABLE reviews (
  rule       TEXT NOT NULL,
  target     TEXT NOT NULL,
  record     TEXT NOT NULL,
  PRIMARY KEY (rule, target)
) STRICT, WITHOUT ROWID;

-- What comparisons of every tag and blob have found.
CREATE TABLE reports (
  rule       TEXT NOT NULL,
  at         INTEGER NOT NULL,
  record     TEXT NOT NULL,
  PRIMARY KEY (rule, at)
) STRICT, WITHOUT ROWID;
