"""The process that runs a plan: execute, journal, report, result."""
