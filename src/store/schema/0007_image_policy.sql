-- The rules for images (one record), and what images were found to say of themselves, by digest: that never changes.
CREATE TABLE image_policy (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  record   TEXT NOT NULL
) STRICT;

CREATE TABLE image_facts (
  seq      INTEGER PRIMARY KEY,
  digest   TEXT NOT NULL UNIQUE,
  record   TEXT NOT NULL
) STRICT;
