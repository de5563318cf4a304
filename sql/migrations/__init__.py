"""Migrations, applied once each and frozen by hash in frozen.txt."""
