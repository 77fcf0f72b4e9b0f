"""The commands of ``qd``, one file per group; each says how it is called and prints what the lower floors answer."""
