-- Search keys of the study's own copy of its patient's tags, which may differ from the patient's:
-- studies and what is below are searched by it. The row's `patient_tags` has the values.
ALTER TABLE studies ADD COLUMN patient_name {text};
ALTER TABLE studies ADD COLUMN patient_birth_date {text};
ALTER TABLE studies ADD COLUMN patient_sex {text};
CREATE INDEX studies_patient_name ON studies (patient_name);
CREATE INDEX studies_patient_birth_date ON studies (patient_birth_date);
