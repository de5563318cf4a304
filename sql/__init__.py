"""The database schema: once-only migrations, re-applied objects, and what differs between editions."""
