-- `files`: where the parts lie that a bucket brought, as JSON: position of the instance to the name
-- of the file. It stays when the bucket is wanted again; NULL: never acknowledged. Parts that were
-- acknowledged by an earlier version lie in the file that their instance names.
ALTER TABLE transfer_buckets ADD COLUMN files {text};
