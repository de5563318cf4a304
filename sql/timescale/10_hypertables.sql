-- Hypertables of the tables in depthgauge.series. Only what every edition of TimescaleDB since 2.13 has: create_hypertable and
-- by_range. The primary keys are the only indexes: each serves idempotent writes and the queries at once.

CREATE OR REPLACE FUNCTION depthgauge.timescaledb_schema() RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'
$$;

DO $$
DECLARE
    series record;
BEGIN
    FOR series IN SELECT name, time_column, chunk_days FROM depthgauge.series ORDER BY name LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM timescaledb_information.hypertables h
            WHERE h.hypertable_schema = 'depthgauge' AND h.hypertable_name = series.name
        );
        EXECUTE format(
            'SELECT %1$I.create_hypertable(%2$L::regclass, %1$I.by_range(%3$L, interval %4$L), create_default_indexes => false)',
            depthgauge.timescaledb_schema(), format('depthgauge.%I', series.name), series.time_column, format('%s days', series.chunk_days)
        );
    END LOOP;
END
$$;
