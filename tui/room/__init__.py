"""The control room: the full-screen Textual application that `qd` opens."""
