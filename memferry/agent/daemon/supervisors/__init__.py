"""What keeps memferry running on each system: systemd, launchd, the Task Scheduler."""
