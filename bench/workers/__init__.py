"""Workers under fire: SIGKILL while they work, and how soon they work on what is recorded."""
