"""Listeners (TCP, Unix, pseudo-terminal, serial), a client per connection, and the hub that fans out."""
