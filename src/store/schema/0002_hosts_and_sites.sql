-- What people decided about hosts and sites. A host's record is kept apart from how it is reached: hosts that come from the
-- configuration or the environment have one, too.
CREATE TABLE records (
  host     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE sites (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;
