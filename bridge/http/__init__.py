"""RFC 9110: rules of HTTP that the server and both adapters share. Pure: no I/O, no clock."""
