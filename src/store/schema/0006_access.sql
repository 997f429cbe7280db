-- Who may do what in the registries. Passwords and secrets are here as hashes only. Members are in their project's record.
CREATE TABLE users (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE projects (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE robots (
  project  TEXT NOT NULL,
  name     TEXT NOT NULL,
  record   TEXT NOT NULL,
  PRIMARY KEY (project, name)
) STRICT;
