"""Whether a release is well, by what was measured of it: conditions, verdicts, comparisons with the release before. Pure: nothing here
opens a connection, reads a clock or writes a journal."""
