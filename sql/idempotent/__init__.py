"""Objects re-applied at the end of every migrate."""
