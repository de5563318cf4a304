"""The sink daemon: takes snapshots from the bus into the database."""
