"""RFC 9110: the rules of HTTP that the server and both adapters share. No I/O, no clock."""
