"""What is happening: plans, strategies, policy, the worker that carries them out.

No screen, no SQL, no shell quoting here: it joins what ``config`` declares, ``history`` remembers and ``backends`` do.
"""
