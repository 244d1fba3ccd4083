"""From sources to a deployment package: plans, sandboxes that carry them out, and a queue."""
