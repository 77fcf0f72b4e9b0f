"""What of this machine, its hosts, engines and routers would stand in the way of a rollout. Looks, and changes nothing."""
