"""Makes the dashboards: ``python -m grafana.source.main`` writes ``grafana/dashboards``."""
