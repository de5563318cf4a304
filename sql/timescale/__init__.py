"""Applied on TimescaleDB only."""
