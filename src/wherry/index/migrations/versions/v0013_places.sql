-- Where files lie that are to be removed, or that jobs have made: one name may be in two places
-- while it is moved. Until now everything lay in the file system, whose place is ''.
CREATE TABLE files_to_delete (
  uuid {text} NOT NULL,
  place {text} NOT NULL,
  PRIMARY KEY (uuid, place)
) {strict_by_key};
INSERT INTO files_to_delete (uuid, place) SELECT uuid, '' FROM deleted_files;
DROP TABLE deleted_files;
ALTER TABLE files_to_delete RENAME TO deleted_files;

ALTER TABLE job_outputs ADD COLUMN place {text} NOT NULL DEFAULT '';
