-- What a job may say of itself to people, whether and when it is tried again, what it has brought
-- forth, and the log of what became of it.
ALTER TABLE jobs ADD COLUMN user_data {text} NOT NULL DEFAULT 'null';
ALTER TABLE jobs ADD COLUMN may_retry {int} NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN attempts {int} NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN retry_at {text};
CREATE INDEX jobs_retry_at ON jobs (retry_at) WHERE state = 'Retry';

CREATE TABLE job_events (
  seq {auto},
  job_id {text} NOT NULL,
  type {text} NOT NULL,
  state {text} NOT NULL,
  error_code {int} NOT NULL,
  error_details {text} NOT NULL,
  happened_at {text} NOT NULL
) {strict};

-- A file of the storage area that belongs to a job: its output. Not there while it is being made.
CREATE TABLE job_outputs (
  seq {auto},
  job_id {text} NOT NULL,
  key {text} NOT NULL,
  uuid {text} NOT NULL UNIQUE,
  size {int} NOT NULL,
  media_type {text} NOT NULL,
  file_name {text} NOT NULL,
  UNIQUE (job_id, key)
) {strict};
