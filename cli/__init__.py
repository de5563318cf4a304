"""The depthgauge command: wires the daemons together; nothing imports it."""
