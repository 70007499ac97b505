ALTER TABLE entity
    ADD COLUMN records BIGINT DEFAULT 0 NOT NULL,
    ADD COLUMN merged_into UUID,
    ADD CONSTRAINT entity_merged_into_fkey FOREIGN KEY (merged_into) REFERENCES entity (id),
    ADD CONSTRAINT entity_records_check CHECK (merged_into IS NULL OR records = 0);
ALTER TABLE entity_link -- which nothing has written to yet
    ALTER COLUMN method TYPE TEXT,
    ADD COLUMN keys BYTEA NOT NULL,
    ADD COLUMN conflict JSONB,
    ADD CONSTRAINT entity_link_decided_by_check CHECK (decided_by IN ('rule', 'operator'));
DROP INDEX entity_link_entity_id_idx;
CREATE INDEX entity_link_entity_idx ON entity_link (entity_id, id);
CREATE INDEX entity_link_conflict_idx ON entity_link (entity_id) WHERE conflict IS NOT NULL;
CREATE TABLE entity_key (
    key BYTEA NOT NULL,
    entity_id UUID NOT NULL,
    records BIGINT NOT NULL,
    CONSTRAINT entity_key_pkey PRIMARY KEY (key, entity_id)
);
ALTER TABLE normalized_data DROP COLUMN entity_id; -- which was always null: links are in entity_link
