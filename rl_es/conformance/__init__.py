"""Whether an environment or an agent keeps what the engine relies on, whoever wrote it."""
