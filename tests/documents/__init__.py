"""The code blocks of the documents: find them, and run each as a user would."""
