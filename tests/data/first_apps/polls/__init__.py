"""Django's tutorial: the app `polls`; its project is the one that `startproject` makes."""
