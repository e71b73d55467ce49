"""What proxies say of the client, and which of them are believed."""
