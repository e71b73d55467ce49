"""What an app's libraries, settings and source say of it, without a request (M51).

Nothing is imported here: what the app has loaded is looked up in `sys.modules`.
"""
