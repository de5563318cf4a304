"""The demo: everything embedded, in one folder, under one supervisord."""
