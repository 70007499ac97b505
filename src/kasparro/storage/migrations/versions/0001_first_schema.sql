CREATE TABLE entity (
    id UUID NOT NULL,
    created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT entity_pkey PRIMARY KEY (id)
);

CREATE TABLE etl_checkpoint (
    id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    source VARCHAR(50) NOT NULL,
    last_processed_id VARCHAR(255),
    last_processed_timestamp TIMESTAMPTZ,
    checkpoint_timestamp TIMESTAMPTZ DEFAULT now() NOT NULL,
    status VARCHAR(20) DEFAULT 'idle' NOT NULL,
    cursor JSONB,
    version BIGINT DEFAULT 0 NOT NULL,
    record_count BIGINT DEFAULT 0 NOT NULL,
    changed_at TIMESTAMPTZ,
    CONSTRAINT etl_checkpoint_pkey PRIMARY KEY (id),
    CONSTRAINT etl_checkpoint_status_check CHECK (status IN ('idle', 'in_progress', 'complete')),
    CONSTRAINT etl_checkpoint_record_count_check CHECK (record_count >= 0),
    CONSTRAINT etl_checkpoint_source_key UNIQUE (source)
);

CREATE TABLE etl_run (
    id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    run_id VARCHAR(80) NOT NULL,
    source VARCHAR(50) NOT NULL,
    records_processed BIGINT DEFAULT 0 NOT NULL,
    records_inserted BIGINT DEFAULT 0 NOT NULL,
    records_updated BIGINT DEFAULT 0 NOT NULL,
    records_unchanged BIGINT DEFAULT 0 NOT NULL,
    records_failed BIGINT DEFAULT 0 NOT NULL,
    records_duplicates BIGINT DEFAULT 0 NOT NULL,
    start_time TIMESTAMPTZ DEFAULT now() NOT NULL,
    end_time TIMESTAMPTZ,
    duration_ms BIGINT,
    status VARCHAR(20) DEFAULT 'in_progress' NOT NULL,
    error_message TEXT,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    heartbeat TIMESTAMPTZ,
    CONSTRAINT etl_run_pkey PRIMARY KEY (id),
    CONSTRAINT etl_run_ledger_check CHECK (records_processed = records_inserted + records_updated
        + records_unchanged + records_failed + records_duplicates),
    CONSTRAINT etl_run_counters_check CHECK (least(records_inserted, records_updated, records_unchanged, records_failed, records_duplicates) >= 0),
    CONSTRAINT etl_run_status_check CHECK (status IN ('in_progress', 'success', 'partial', 'failed')),
    CONSTRAINT etl_run_ended_check CHECK ((status = 'in_progress') = (end_time IS NULL)),
    CONSTRAINT etl_run_explained_check CHECK (status <> 'failed' OR error_message IS NOT NULL),
    CONSTRAINT etl_run_run_id_key UNIQUE (run_id)
);
CREATE INDEX etl_run_in_progress_idx ON etl_run (source) WHERE status = 'in_progress';
CREATE INDEX etl_run_source_id_idx ON etl_run (source, id);

CREATE TABLE etl_totals (
    source VARCHAR(50) NOT NULL,
    records_processed BIGINT DEFAULT 0 NOT NULL,
    records_inserted BIGINT DEFAULT 0 NOT NULL,
    records_updated BIGINT DEFAULT 0 NOT NULL,
    records_unchanged BIGINT DEFAULT 0 NOT NULL,
    records_failed BIGINT DEFAULT 0 NOT NULL,
    records_duplicates BIGINT DEFAULT 0 NOT NULL,
    last_success TIMESTAMPTZ,
    last_failure TIMESTAMPTZ,
    CONSTRAINT etl_totals_pkey PRIMARY KEY (source)
);

CREATE TABLE quarantine (
    id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    source VARCHAR(50) NOT NULL,
    fingerprint BYTEA NOT NULL,
    external_id TEXT,
    raw_data JSON NOT NULL,
    place TEXT NOT NULL,
    field TEXT,
    reason VARCHAR(40) NOT NULL,
    message TEXT NOT NULL,
    run_id VARCHAR(80) NOT NULL,
    first_seen TIMESTAMPTZ DEFAULT now() NOT NULL,
    last_seen TIMESTAMPTZ DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT '1' NOT NULL,
    resolved_at TIMESTAMPTZ,
    CONSTRAINT quarantine_pkey PRIMARY KEY (id),
    CONSTRAINT quarantine_source_fingerprint_key UNIQUE (source, fingerprint)
);
CREATE INDEX quarantine_open_idx ON quarantine (source, id) WHERE resolved_at IS NULL;

CREATE TABLE raw_data_api (
    url TEXT NOT NULL,
    page INTEGER NOT NULL,
    position INTEGER NOT NULL,
    source VARCHAR(50) NOT NULL,
    external_id VARCHAR(255) NOT NULL,
    raw_data JSON NOT NULL,
    payload_hash BYTEA NOT NULL,
    run_id VARCHAR(80) NOT NULL,
    ingested_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    processed BOOLEAN NOT NULL,
    deleted_at TIMESTAMPTZ,
    id BIGSERIAL NOT NULL,
    CONSTRAINT raw_data_api_pkey PRIMARY KEY (id),
    CONSTRAINT raw_data_api_source_external_id_key UNIQUE (source, external_id)
);
CREATE INDEX raw_data_api_source_id_idx ON raw_data_api (source, id) WHERE NOT processed;

CREATE TABLE raw_data_csv (
    file TEXT NOT NULL,
    byte_start BIGINT NOT NULL,
    byte_end BIGINT NOT NULL,
    line BIGINT NOT NULL,
    source VARCHAR(50) NOT NULL,
    external_id VARCHAR(255) NOT NULL,
    raw_data JSON NOT NULL,
    payload_hash BYTEA NOT NULL,
    run_id VARCHAR(80) NOT NULL,
    ingested_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    processed BOOLEAN NOT NULL,
    deleted_at TIMESTAMPTZ,
    id BIGSERIAL NOT NULL,
    CONSTRAINT raw_data_csv_pkey PRIMARY KEY (id),
    CONSTRAINT raw_data_csv_source_external_id_key UNIQUE (source, external_id)
);
CREATE INDEX raw_data_csv_source_id_idx ON raw_data_csv (source, id) WHERE NOT processed;

CREATE TABLE raw_data_stream (
    stream TEXT NOT NULL,
    position BIGINT NOT NULL,
    source VARCHAR(50) NOT NULL,
    external_id VARCHAR(255) NOT NULL,
    raw_data JSON NOT NULL,
    payload_hash BYTEA NOT NULL,
    run_id VARCHAR(80) NOT NULL,
    ingested_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    processed BOOLEAN NOT NULL,
    deleted_at TIMESTAMPTZ,
    id BIGSERIAL NOT NULL,
    CONSTRAINT raw_data_stream_pkey PRIMARY KEY (id),
    CONSTRAINT raw_data_stream_source_external_id_key UNIQUE (source, external_id)
);
CREATE INDEX raw_data_stream_source_id_idx ON raw_data_stream (source, id) WHERE NOT processed;

CREATE TABLE schema_drift (
    id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    source VARCHAR(50) NOT NULL,
    field_path TEXT NOT NULL,
    kind VARCHAR(20) NOT NULL,
    before JSONB,
    after JSONB,
    confidence DOUBLE PRECISION DEFAULT '1' NOT NULL,
    first_seen_run VARCHAR(80) NOT NULL,
    example JSONB,
    decision VARCHAR(20),
    detected_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT schema_drift_pkey PRIMARY KEY (id),
    CONSTRAINT schema_drift_kind_check CHECK (kind IN ('added', 'missing', 'renamed', 'type_changed', 'null_rate')),
    CONSTRAINT schema_drift_confidence_check CHECK (confidence BETWEEN 0 AND 1)
);
CREATE INDEX schema_drift_source_id_idx ON schema_drift (source, id);

CREATE TABLE source_lease (
    source VARCHAR(50) NOT NULL,
    token BIGINT NOT NULL,
    batch_seq BIGINT DEFAULT 0 NOT NULL,
    holder TEXT,
    run_id VARCHAR(80),
    expires_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT source_lease_pkey PRIMARY KEY (source)
);

CREATE TABLE entity_link (
    id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    entity_id UUID NOT NULL,
    source VARCHAR(50) NOT NULL,
    source_id VARCHAR(255) NOT NULL,
    method VARCHAR(40) NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT entity_link_pkey PRIMARY KEY (id),
    CONSTRAINT entity_link_source_source_id_key UNIQUE (source, source_id),
    CONSTRAINT entity_link_confidence_check CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT entity_link_entity_id_fkey FOREIGN KEY(entity_id) REFERENCES entity (id)
);
CREATE INDEX entity_link_entity_id_idx ON entity_link (entity_id);

CREATE TABLE normalized_data (
    id BIGSERIAL NOT NULL,
    source VARCHAR(50) NOT NULL,
    source_id VARCHAR(255) NOT NULL,
    data JSONB NOT NULL,
    version BIGINT NOT NULL,
    entity_id UUID,
    created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    updated_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT normalized_data_pkey PRIMARY KEY (id),
    CONSTRAINT normalized_data_source_source_id_key UNIQUE (source, source_id),
    CONSTRAINT normalized_data_entity_id_fkey FOREIGN KEY(entity_id) REFERENCES entity (id)
);
CREATE INDEX normalized_data_created_at_idx ON normalized_data USING brin (created_at);
CREATE INDEX normalized_data_source_id_idx ON normalized_data (source, id);
