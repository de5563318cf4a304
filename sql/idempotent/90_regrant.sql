-- Tables and functions that this migrate made are granted to the roles that had been granted the earlier ones.

DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT r.rolname, bool_or(a.privilege_type = 'INSERT') AS writes
        FROM pg_catalog.pg_class c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
        JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'depthgauge.snapshots'::regclass AND a.grantee <> c.relowner
          AND a.privilege_type IN ('SELECT', 'INSERT')
        GROUP BY r.rolname
    LOOP
        IF granted.writes THEN
            PERFORM depthgauge.grant_writer(granted.rolname);
        ELSE
            PERFORM depthgauge.grant_reader(granted.rolname);
        END IF;
    END LOOP;
END
$$;
