-- Queries to modalities. `document`: what was asked, JSON; `answers`: their number, -1 while they
-- still come; `used_at`: seconds since 1970.
CREATE TABLE queries (
  id {text} PRIMARY KEY,
  modality {text} NOT NULL,
  level {text} NOT NULL,
  document {text} NOT NULL,
  answers {int} NOT NULL,
  used_at {real} NOT NULL
) {strict_by_key};
CREATE INDEX queries_used_at ON queries (used_at);

-- Their answers: `ggggeeee` -> text, null, or a list of the same, JSON.
CREATE TABLE query_answers (
  query_id {text} NOT NULL REFERENCES queries (id),
  position {int} NOT NULL,
  content {text} NOT NULL,
  PRIMARY KEY (query_id, position)
) {strict_by_key};
