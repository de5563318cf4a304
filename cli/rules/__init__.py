"""Recording and alerting rules for Prometheus: one table, from which prometheus/rules and docs/reference/alerts.md are made."""
