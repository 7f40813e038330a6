-- What this server asked other systems to commit. `asked`: [[SOP class, SOP instance, [MD5 of each
-- file of it that was stored here]], ...]; `failures`: {position in it: reason}, JSON. `status`:
-- Pending, Success or Failure.
CREATE TABLE commitments (
  seq {auto},
  uid {text} NOT NULL UNIQUE,
  remote_aet {text} NOT NULL,
  status {text} NOT NULL,
  asked {text} NOT NULL,
  failures {text} NOT NULL
) {strict};

-- What others asked of this server: the job that looks after it. `digest` of what was asked: the
-- same request may come twice, another under its name may not while the job lives.
CREATE TABLE commitment_requests (
  remote_aet {text} NOT NULL,
  uid {text} NOT NULL,
  digest {text} NOT NULL,
  job {text} NOT NULL,
  PRIMARY KEY (remote_aet, uid)
) {strict_by_key};
CREATE INDEX commitment_requests_job ON commitment_requests (job);
