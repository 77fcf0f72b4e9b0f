"""Feature flags: who gets what a release has brought, in percent. The contract, and a file of each kind of flag."""
