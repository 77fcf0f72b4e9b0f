"""What has happened: the one SQLite file with the journal, releases, leases, audit chain and their queries.

It knows the value types of ``config`` and nothing above. Nobody touches the journal's files but through this floor.
"""
