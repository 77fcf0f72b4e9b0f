"""What hosts and routers need before the first deploy: made, or printed for root."""
