"""What the team declares: the fleet file as typed values, its errors with file:line:column, secret references.

The lowest floor: it imports nothing of ours and touches nothing but the files it is told to read.
"""
