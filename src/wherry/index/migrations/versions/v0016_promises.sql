-- Of the block that stands for the log of small files of its owner: the number of the newest record
-- that is committed here, and of the newest whose commit is known to be synced.
ALTER TABLE staging_blocks ADD COLUMN logged {int} NOT NULL DEFAULT 0;
ALTER TABLE staging_blocks ADD COLUMN secured {int} NOT NULL DEFAULT 0;

-- Who had a block before it was seized: it is not swept before the log of that process is read.
ALTER TABLE staging_blocks ADD COLUMN former_owner {text} NOT NULL DEFAULT '';
