-- What a transfer brings beside its instances: metadata and labels in one document, JSON by number
-- (`[[level, orthanc_id, {number: value}, [label]], ...]`); `digest` of the document as it travelled.
CREATE TABLE transfer_extras (
  transfer_id {text} PRIMARY KEY REFERENCES transfers (id),
  digest {text} NOT NULL,
  document {text} NOT NULL
) {strict_by_key};

-- ... and attachments. `staged`: NULL until it has arrived, then the verified Attachment, JSON; empty
-- when it need not be sent.
CREATE TABLE transfer_attachments (
  transfer_id {text} NOT NULL REFERENCES transfers (id),
  position {int} NOT NULL,
  level {int} NOT NULL,
  orthanc_id {text} NOT NULL,
  content_type {int} NOT NULL,
  size {int} NOT NULL,
  md5 {text} NOT NULL,
  staged {text},
  PRIMARY KEY (transfer_id, position)
) {strict_by_key};
