-- Who is at the other end of a transfer, and the signed receipts of those that were committed.
ALTER TABLE transfers ADD COLUMN other_end {text} NOT NULL DEFAULT '{}';

CREATE TABLE receipts (
  seq {auto},
  id {text} NOT NULL UNIQUE,
  document {text} NOT NULL
) {strict};
