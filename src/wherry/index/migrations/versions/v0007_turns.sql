-- Who waits for a slot for a push, and which open push a repeated request means.
ALTER TABLE transfers ADD COLUMN origin {text} NOT NULL DEFAULT '';

CREATE TABLE transfer_turns (
  holder {text} PRIMARY KEY,
  asked_at {real} NOT NULL,
  seen_at {real} NOT NULL
) {strict_by_key};
