"""The fleet as screens show it: frozen values, made from the journal alone."""
