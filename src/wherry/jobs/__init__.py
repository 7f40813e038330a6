"""Long work, durable: states, leases, checkpoints, priorities, history."""
