"""How the world is touched: hosts, artifacts, secrets. A backend is told what to do and answers with what it saw.

It knows no journal and no policy, and never imports ``rollouts`` or ``history``.
"""
