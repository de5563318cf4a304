"""The exporter daemon: reads supervisord and Redis, publishes snapshots and metrics."""
