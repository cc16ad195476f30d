"""The worker: what runs inside the application that logs."""
