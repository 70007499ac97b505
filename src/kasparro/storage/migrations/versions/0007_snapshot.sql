CREATE TABLE snapshot_seen (
    source VARCHAR(50) NOT NULL,
    part INTEGER NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    ids TEXT[] NOT NULL,
    sample TEXT[] DEFAULT '{}' NOT NULL,
    CONSTRAINT snapshot_seen_pkey PRIMARY KEY (source, part, id),
    CONSTRAINT snapshot_seen_source_fkey FOREIGN KEY (source) REFERENCES etl_checkpoint (source) ON DELETE CASCADE
);
ALTER TABLE snapshot_seen ALTER COLUMN ids SET STORAGE EXTERNAL; -- compressing takes longer than writing
CREATE TABLE tombstone (
    source VARCHAR(50) NOT NULL,
    version BIGINT NOT NULL,
    record_id BIGINT NOT NULL,
    source_id VARCHAR(255) NOT NULL,
    CONSTRAINT tombstone_pkey PRIMARY KEY (source, version, record_id),
    CONSTRAINT tombstone_source_fkey FOREIGN KEY (source) REFERENCES etl_checkpoint (source) ON DELETE CASCADE
);
ALTER TABLE etl_run
    ADD COLUMN records_deleted BIGINT DEFAULT 0 NOT NULL,
    ADD CONSTRAINT etl_run_deleted_check CHECK (records_deleted >= 0);
ALTER TABLE etl_totals ADD COLUMN records_deleted BIGINT DEFAULT 0 NOT NULL;
