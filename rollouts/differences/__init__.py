"""What differs between two releases, and between two environments."""
