-- Tags that were written at a registry without all that refers to them (signatures, bills of materials): that is still owed.
-- `repository` is what the rule's source calls it.
CREATE TABLE owed (
  rule       TEXT NOT NULL,
  registry   TEXT NOT NULL,
  repository TEXT NOT NULL,
  tag        TEXT NOT NULL,
  PRIMARY KEY (rule, registry, repository, tag)
) STRICT, WITHOUT ROWID;
