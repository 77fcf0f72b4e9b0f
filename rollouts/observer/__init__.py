"""The observer: a process beside each control room. One of a state directory leads and looks at the hosts, for all of them; what it
sees goes into the journal. It changes nothing on a host, holds no lock that a worker needs, and ends with its room."""
