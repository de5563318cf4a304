"""The commands of ``depthgauge``, one module each; what a command does is imported when it runs, so that help is quick."""
