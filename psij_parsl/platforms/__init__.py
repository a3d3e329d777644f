"""What a platform is made of: its Scheduler, its JobTemplate, the descriptor, and the registry that finds it."""
