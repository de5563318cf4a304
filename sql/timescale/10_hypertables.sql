-- Hypertables of the tables in depthgauge.series. Only what every edition of TimescaleDB since 2.13 has: create_hypertable and
-- by_range. The primary keys are the only indexes: each serves idempotent writes and the queries at once.

DO $$
DECLARE
    extension_schema name;
    series           record;
BEGIN
    SELECT n.nspname INTO STRICT extension_schema
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb';

    FOR series IN SELECT name, time_column, chunk_days FROM depthgauge.series ORDER BY name LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM timescaledb_information.hypertables h
            WHERE h.hypertable_schema = 'depthgauge' AND h.hypertable_name = series.name
        );
        EXECUTE format(
            'SELECT %1$I.create_hypertable(%2$L::regclass, %1$I.by_range(%3$L, interval %4$L), create_default_indexes => false)',
            extension_schema, format('depthgauge.%I', series.name), series.time_column, format('%s days', series.chunk_days)
        );
    END LOOP;
END
$$;
