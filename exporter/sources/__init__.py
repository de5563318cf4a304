"""What the exporter reads: one subject a file."""
