CREATE TABLE source_shape (
    source VARCHAR(50) NOT NULL,
    shape JSONB NOT NULL,
    run_id VARCHAR(80) NOT NULL,
    updated_at TIMESTAMPTZ DEFAULT now() NOT NULL,
    CONSTRAINT source_shape_pkey PRIMARY KEY (source)
);
ALTER TABLE schema_drift -- which nothing has written to yet
    ADD COLUMN fingerprint BYTEA NOT NULL,
    ADD COLUMN decided_at TIMESTAMPTZ,
    ALTER COLUMN decision SET DEFAULT 'evolved',
    ALTER COLUMN decision SET NOT NULL,
    ADD CONSTRAINT schema_drift_decision_check CHECK (decision IN ('evolved', 'quarantined', 'frozen', 'accepted')),
    ADD CONSTRAINT schema_drift_decided_check CHECK ((decision = 'accepted') = (decided_at IS NOT NULL)),
    ADD CONSTRAINT schema_drift_source_fingerprint_key UNIQUE (source, fingerprint);
