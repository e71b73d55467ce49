"""The routes of a whole site: who is asked first, who answers, and who never does (M50)."""
