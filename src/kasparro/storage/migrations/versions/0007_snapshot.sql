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
