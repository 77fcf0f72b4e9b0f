"""A Docker Swarm as one host: its managers are asked, its nodes run the tasks."""
