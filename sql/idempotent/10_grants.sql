-- Who may do what. Both functions run with the rights of their caller: call them as the owner of the schema.

CREATE OR REPLACE FUNCTION depthgauge.grant_reader(role_name name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA depthgauge TO %I', role_name);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA depthgauge TO %I', role_name);
END
$$;

COMMENT ON FUNCTION depthgauge.grant_reader(name) IS
    'Lets a role read everything: dashboards and the API.';

CREATE OR REPLACE FUNCTION depthgauge.grant_writer(role_name name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written text;
BEGIN
    PERFORM depthgauge.grant_reader(role_name);
    FOREACH written IN ARRAY ARRAY[
        'snapshots', 'worker_snapshots', 'queue_metrics', 'process_snapshots', 'process_events',
        'system_health_metrics', 'performance_metrics', 'dirty_buckets'
    ] LOOP
        EXECUTE format('GRANT INSERT ON depthgauge.%I TO %I', written, role_name);
    END LOOP;
    EXECUTE format('GRANT EXECUTE ON PROCEDURE depthgauge.maintain(double precision) TO %I', role_name);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION depthgauge.roll_up_some(bigint), depthgauge.drop_expired(text), depthgauge.compress_next(),'
        ' depthgauge.note_step(text, timestamptz, bigint) TO %I', role_name
    );
    IF to_regprocedure('depthgauge.ensure_partitions(date[])') IS NOT NULL THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION depthgauge.ensure_partitions(date[]) TO %I', role_name);
    END IF;
END
$$;

COMMENT ON FUNCTION depthgauge.grant_writer(name) IS
    'Lets a role read, add rows and have the upkeep done; never change or delete rows itself: the sink.';

REVOKE ALL ON FUNCTION depthgauge.grant_reader(name), depthgauge.grant_writer(name) FROM PUBLIC;
