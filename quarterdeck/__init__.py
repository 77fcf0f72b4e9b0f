"""Quarterdeck: the control room for releases on machines you can SSH into.

The five floors live in folders of their own at the top of the repository (``tui``, ``rollouts``, ``backends``,
``history``, ``config``) and are imported as ``quarterdeck.<floor>``: the links beside this file say where each one is.
One import name keeps a ``config`` or ``history`` package on somebody's ``PYTHONPATH`` from being taken for ours.
"""

__version__ = "0.1.0"
