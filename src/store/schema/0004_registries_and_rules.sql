-- What people decided about image registries and about what is replicated between them. A line is `FROM/TO`.
CREATE TABLE registries (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE rules (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE line_limits (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;
