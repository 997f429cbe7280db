-- What a prewarm that has ended has brought, host by host; the operation itself is in `operations`.
CREATE TABLE prewarms (
  op       INTEGER PRIMARY KEY,
  record   TEXT NOT NULL
) STRICT;
