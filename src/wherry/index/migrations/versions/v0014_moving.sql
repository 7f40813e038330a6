-- Files that are on their way from one store to another. `target`: the place of the copy, which
-- nobody may rely on before `attachments` names it; `owner`: the process that makes it, for `job`.
CREATE TABLE moving_files (
  uuid {text} PRIMARY KEY,
  target {text} NOT NULL,
  owner {text} NOT NULL,
  job {text} NOT NULL
) {strict_by_key};

-- Who is removing a file: its name may come back to the same place only when this is over.
ALTER TABLE deleted_files ADD COLUMN owner {text} NOT NULL DEFAULT '';

-- Studies as the storage policy knows them; one without a row was not read since it came.
-- `read_at`: the last time that a file of it was read, to the day; `away_at`: when all its files
-- were found, or put, in the object storage. Seconds since 1970, 0 = never.
CREATE TABLE tiers (
  resource {id},
  read_at {real} NOT NULL DEFAULT 0,
  away_at {real} NOT NULL DEFAULT 0
) {strict};
