"""What the overview shows, as rows: pure functions of a picture, used by the panes and by the first paint. No screen library here."""
