"""Channels over Redis: the connections to it, the layer, and what the gateway builds on."""
