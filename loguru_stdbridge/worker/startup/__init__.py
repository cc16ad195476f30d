"""What a child process of ``subprocess`` runs before its own code: see ``worker/children.py``."""
