"""The cards: what changes something is shown, looked at and confirmed in one of these."""
