-- Lower-case hex; of each file an MD5 or a BLAKE3 is known, and the other one perhaps.
ALTER TABLE attachments ADD COLUMN uncompressed_blake3 {text} NOT NULL DEFAULT '';
ALTER TABLE attachments ADD COLUMN compressed_blake3 {text} NOT NULL DEFAULT '';

-- Either of them.
ALTER TABLE transfer_instances RENAME COLUMN md5 TO digest;
