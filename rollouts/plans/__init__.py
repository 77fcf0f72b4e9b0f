"""What a rollout is going to do: pure functions from what runs and what is wanted to steps."""
