CREATE TABLE snapshot_seen (
    source VARCHAR(50) NOT NULL,
    external_id VARCHAR(255) NOT NULL,
    CONSTRAINT snapshot_seen_pkey PRIMARY KEY (source, external_id)
);
CREATE TABLE tombstone (
    source VARCHAR(50) NOT NULL,
    version BIGINT NOT NULL,
    record_id BIGINT NOT NULL,
    source_id VARCHAR(255) NOT NULL,
    CONSTRAINT tombstone_pkey PRIMARY KEY (source, version, record_id)
);
ALTER TABLE etl_run
    ADD COLUMN records_deleted BIGINT DEFAULT 0 NOT NULL,
    ADD CONSTRAINT etl_run_deleted_check CHECK (records_deleted >= 0);
ALTER TABLE etl_totals ADD COLUMN records_deleted BIGINT DEFAULT 0 NOT NULL;
