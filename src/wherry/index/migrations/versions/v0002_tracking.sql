-- The log of changes without its bulk, for those who follow only some types of it.
CREATE INDEX changes_not_instances ON changes (seq, change_type) WHERE change_type <> 2;

-- Recycling: `unprotected_at` is never later than the last time that an instance was added to the
-- patient, or that it was unprotected. Whoever recycles takes the lowest and, when `activity` knows
-- of a later addition, raises it: an index on the times themselves would be written by every commit.
UPDATE patients SET unprotected_at = (SELECT updated_at FROM activity WHERE resource = patients.id)
  WHERE unprotected_at < (SELECT updated_at FROM activity WHERE resource = patients.id);
CREATE INDEX patients_recycling ON patients (unprotected_at, id) WHERE protected = 0;
