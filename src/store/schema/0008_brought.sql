-- What was brought to a Harbor of our own list of members and robots; grants follow to those that have a row.
CREATE TABLE brought (
  name     TEXT PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;
