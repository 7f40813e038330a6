-- Items of modality worklists that came over REST. `document`: the data set as JSON, tag -> [VR, text]
-- or ["SQ", [items]]; `study_instance_uid`: its search key.
CREATE TABLE worklists (
  seq {auto},
  id {text} NOT NULL UNIQUE,
  study_instance_uid {text} NOT NULL,
  created_at {real} NOT NULL,
  document {text} NOT NULL
) {strict};
CREATE INDEX worklists_study_instance_uid ON worklists (study_instance_uid);
