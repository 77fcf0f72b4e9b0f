"""The first fleet file: what is there already (a compose file, a Kamal file, Docker contexts, an SSH configuration) is read
into one neutral description, and written as a person would write it. Nothing is connected to and nothing is run."""
