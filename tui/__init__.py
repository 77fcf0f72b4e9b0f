"""What the operator sees and types: the ``qd`` command line (and, with it, the control room)."""
