-- What the names of images pointed to when that was last known: while a registry is silent, this counts.
CREATE TABLE image_tags (
  seq      INTEGER PRIMARY KEY,
  image    TEXT NOT NULL UNIQUE,
  digest   TEXT NOT NULL
) STRICT;
