-- Resources ------------------------------------------------------------------------------------
-- Column types: {id} key that we number, {auto} key that the database numbers, {int} 64 bits,
-- {real} 64 bits, {text} compared byte by byte. Columns named like a DICOM keyword hold the *search
-- key* of that tag: case folded and stripped; NULL when the tag is absent. `tags` holds the
-- original values of all main tags of the level, JSON, "gggg,eeee" -> value.

CREATE TABLE patients (
  id {id},
  orthanc_id {text} NOT NULL UNIQUE,
  tags {text} NOT NULL,
  protected {int} NOT NULL DEFAULT 0,
  unprotected_at {real} NOT NULL DEFAULT 0,
  patient_id {text}, patient_name {text}, patient_birth_date {text}, patient_sex {text}
) {strict};
CREATE INDEX patients_patient_id ON patients (patient_id);
CREATE INDEX patients_patient_name ON patients (patient_name);
CREATE INDEX patients_patient_birth_date ON patients (patient_birth_date);

CREATE TABLE studies (
  id {id},
  parent {int} NOT NULL REFERENCES patients (id),
  orthanc_id {text} NOT NULL UNIQUE,
  tags {text} NOT NULL,
  patient_tags {text} NOT NULL,
  study_instance_uid {text}, study_date {text}, study_time {text}, accession_number {text},
  study_description {text}, study_id {text}, referring_physician_name {text},
  institution_name {text}, requested_procedure_description {text}, requesting_physician {text}
) {strict};
CREATE INDEX studies_parent ON studies (parent, id);
CREATE INDEX studies_study_instance_uid ON studies (study_instance_uid);
CREATE INDEX studies_study_date ON studies (study_date);
CREATE INDEX studies_accession_number ON studies (accession_number);
CREATE INDEX studies_study_description ON studies (study_description);
CREATE INDEX studies_study_id ON studies (study_id);
CREATE INDEX studies_referring_physician_name ON studies (referring_physician_name);

CREATE TABLE series (
  id {id},
  parent {int} NOT NULL REFERENCES studies (id),
  orthanc_id {text} NOT NULL UNIQUE,
  tags {text} NOT NULL,
  expected_instances {int},
  remote_aet {text} NOT NULL DEFAULT '',
  series_instance_uid {text}, modality {text}, series_number {text}, series_description {text},
  series_date {text}, series_time {text}, body_part_examined {text}, station_name {text},
  manufacturer {text}, protocol_name {text}, operators_name {text}
) {strict};
CREATE INDEX series_parent ON series (parent, id);
-- None on modality: half of a store is CT, and a planner without statistics would begin there.
CREATE INDEX series_series_instance_uid ON series (series_instance_uid);
CREATE INDEX series_series_date ON series (series_date);
CREATE INDEX series_series_description ON series (series_description);

CREATE TABLE instances (
  id {id},
  parent {int} NOT NULL REFERENCES series (id),
  orthanc_id {text} NOT NULL UNIQUE,
  tags {text} NOT NULL,
  transfer_syntax {text} NOT NULL,
  sop_class_uid {text} NOT NULL,
  pixel_data_offset {int},
  index_in_series {int},
  reception_date {text} NOT NULL,
  origin {text} NOT NULL,
  remote_ip {text} NOT NULL,
  remote_aet {text} NOT NULL,
  called_aet {text} NOT NULL,
  username {text} NOT NULL,
  sop_instance_uid {text}, instance_number {text}
) {strict};
CREATE INDEX instances_parent ON instances (parent, id);
CREATE INDEX instances_sop_instance_uid ON instances (sop_instance_uid);

-- What all levels have --------------------------------------------------------------------------
-- `resource` is the id of a row of the four tables above, which are numbered together.

-- Patients, studies and series: apart from them, because it changes with every instance.
CREATE TABLE activity (
  resource {id},
  level {int} NOT NULL,
  updated_at {real} NOT NULL,
  stable {int} NOT NULL DEFAULT 0
) {strict};
-- Not by time: an index on what every commit changes would be written by every commit.
CREATE INDEX activity_unstable ON activity (level) WHERE stable = 0;

CREATE TABLE attachments (
  resource {int} NOT NULL,
  content_type {int} NOT NULL,
  uuid {text} NOT NULL UNIQUE,
  uncompressed_size {int} NOT NULL,
  uncompressed_md5 {text} NOT NULL,
  compressed_size {int} NOT NULL,
  compressed_md5 {text} NOT NULL,
  compression {int} NOT NULL,
  place {text} NOT NULL,
  revision {int} NOT NULL,
  PRIMARY KEY (resource, content_type)
) {strict_by_key};

-- User metadata, and the core metadata that are not typed columns above.
CREATE TABLE metadata (
  resource {int} NOT NULL,
  type {int} NOT NULL,
  value {text} NOT NULL,
  revision {int} NOT NULL DEFAULT 0,
  PRIMARY KEY (resource, type)
) {strict_by_key};

CREATE TABLE labels (
  resource {int} NOT NULL,
  label {text} NOT NULL,
  PRIMARY KEY (resource, label)
) {strict_by_key};
CREATE INDEX labels_label ON labels (label);

-- One row: the counters. Every writer excludes all others, so nobody waits for it.
CREATE TABLE totals (
  only_row {int} PRIMARY KEY CHECK (only_row = 1),
  next_id {int} NOT NULL,
  change_seq {int} NOT NULL,
  export_seq {int} NOT NULL,
  patients {int} NOT NULL,
  studies {int} NOT NULL,
  series {int} NOT NULL,
  instances {int} NOT NULL,
  disk_bytes {int} NOT NULL,
  uncompressed_bytes {int} NOT NULL
) {strict};
INSERT INTO totals VALUES (1, 1, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE changes (
  seq {id},
  change_type {int} NOT NULL,
  level {int} NOT NULL,
  resource {int} NOT NULL,
  date {text} NOT NULL
) {strict};
CREATE INDEX changes_resource ON changes (resource);

CREATE TABLE exports (
  seq {id},
  date {text} NOT NULL,
  level {int} NOT NULL,
  orthanc_id {text} NOT NULL,
  remote_modality {text} NOT NULL,
  patient_id {text} NOT NULL,
  study_instance_uid {text} NOT NULL,
  series_instance_uid {text} NOT NULL,
  sop_instance_uid {text} NOT NULL
) {strict};

CREATE TABLE settings (
  key {text} PRIMARY KEY,
  value {text} NOT NULL
) {strict_by_key};

-- Journals of files -----------------------------------------------------------------------------

-- Files that nothing refers to any more and that still have to be removed.
CREATE TABLE deleted_files (
  uuid {text} PRIMARY KEY
) {strict_by_key};

-- Prefixes of names under which files may lie that are not attached yet.
CREATE TABLE staging_blocks (
  prefix {text} PRIMARY KEY,
  owner {text} NOT NULL
) {strict_by_key};
CREATE INDEX staging_blocks_owner ON staging_blocks (owner);

CREATE TABLE processes (
  id {text} PRIMARY KEY,
  host {text} NOT NULL,
  pid {int} NOT NULL,
  started {text} NOT NULL,
  heartbeat_at {real} NOT NULL
) {strict_by_key};

-- Jobs ------------------------------------------------------------------------------------------

CREATE TABLE jobs (
  seq {auto},
  id {text} NOT NULL UNIQUE,
  type {text} NOT NULL,
  state {text} NOT NULL,
  priority {int} NOT NULL,
  parameters {text} NOT NULL,
  content {text} NOT NULL,
  checkpoint {text} NOT NULL,
  progress {real} NOT NULL,
  created_at {text} NOT NULL,
  changed_at {text} NOT NULL,
  completed_at {text},
  runtime_s {real} NOT NULL,
  error_code {int} NOT NULL,
  error_details {text} NOT NULL,
  owner {text} NOT NULL,
  requested {text} NOT NULL,
  username {text} NOT NULL
) {strict};
CREATE INDEX jobs_claim ON jobs (state, priority DESC, seq);
CREATE INDEX jobs_completed_at ON jobs (completed_at);
CREATE INDEX jobs_unsettled ON jobs (priority DESC, seq) WHERE requested IN ('settle', 'forget');

-- Transfers -------------------------------------------------------------------------------------

-- `kind`: push or pull. `state`: open, committed or discarded. `block`: prefix of the names of all
-- its files, empty once it is swept for good.
CREATE TABLE transfers (
  id {text} PRIMARY KEY,
  kind {text} NOT NULL,
  state {text} NOT NULL,
  compression {text} NOT NULL,
  username {text} NOT NULL,
  created_at {real} NOT NULL,
  touched_at {real} NOT NULL,
  block {text} NOT NULL,
  instance_count {int} NOT NULL,
  bucket_count {int} NOT NULL,
  total_bytes {int} NOT NULL,
  remote_ip {text} NOT NULL
) {strict_by_key};
CREATE INDEX transfers_touched_at ON transfers (state, touched_at);

-- `buckets`: those that hold parts of the instance ("3-7,9"); empty when one bucket holds it whole.
-- `staged`: the verified StagedInstance, JSON.
CREATE TABLE transfer_instances (
  transfer_id {text} NOT NULL REFERENCES transfers (id),
  position {int} NOT NULL,
  orthanc_id {text} NOT NULL,
  size {int} NOT NULL,
  md5 {text} NOT NULL,
  uuid {text} NOT NULL,
  buckets {text} NOT NULL,
  staged {text},
  PRIMARY KEY (transfer_id, position)
) {strict_by_key};

-- `chunks`: [[position of the instance or -1, offset, size], ...].
CREATE TABLE transfer_buckets (
  transfer_id {text} NOT NULL REFERENCES transfers (id),
  position {int} NOT NULL,
  chunks {text} NOT NULL,
  received {int} NOT NULL,
  PRIMARY KEY (transfer_id, position)
) {strict_by_key};
