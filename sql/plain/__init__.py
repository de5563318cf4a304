"""Applied on plain PostgreSQL only."""
