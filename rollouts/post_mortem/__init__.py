"""The post-mortem of a rollout: what the journal knows of it, gathered into one value. Reads only; words and Markdown are made above."""
