"""Source: the commits between two releases, from a mirror of the service's repository. git is a program here; no token passes by."""
