"""Routers: which share of a service's requests goes to which release. One contract, one folder for each kind of router."""
