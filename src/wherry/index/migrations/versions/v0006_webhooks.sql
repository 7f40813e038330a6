-- `cause`: the transfer that a change is about; NULL for nearly all.
ALTER TABLE changes ADD COLUMN cause {text};

-- How far each webhook is. `change_seq`, `job_seq`: the last change and the last event of a job that
-- are behind it. `delivery`: what is on its way, with the body as it was first sent and where its
-- events end; empty when nothing is. `job`: the last one that delivers or delivered. `rest_until`:
-- after a failure, seconds since 1970.
CREATE TABLE webhooks (
  name {text} PRIMARY KEY,
  change_seq {int} NOT NULL,
  job_seq {int} NOT NULL,
  delivery {text} NOT NULL DEFAULT '',
  body {text} NOT NULL DEFAULT '',
  event_count {int} NOT NULL DEFAULT 0,
  next_change_seq {int} NOT NULL DEFAULT 0,
  next_job_seq {int} NOT NULL DEFAULT 0,
  job {text} NOT NULL DEFAULT '',
  rest_until {real} NOT NULL DEFAULT 0
) {strict_by_key};
