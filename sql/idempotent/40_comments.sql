-- What columns mean, where that has become more than the migration that made them could say.

COMMENT ON COLUMN depthgauge.worker_snapshots.throughput IS
    'Jobs completed a second since the reading before, by the queue''s true counter; NULL without one, at the first reading of an exporter, and where the counter began anew.';
