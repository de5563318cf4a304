"""What ``depthgauge check`` looks at: one subject a module, each a function that returns findings and raises nothing it expects."""
