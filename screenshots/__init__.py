"""Pictures of the running control room, and the command that makes them from a real playground: ``make screenshots``."""
