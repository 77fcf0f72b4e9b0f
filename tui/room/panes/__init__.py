"""The panes of the control room: each one a pure function from what is known to rows, and the widget that shows them."""
