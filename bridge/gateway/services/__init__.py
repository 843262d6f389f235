"""One module per service of openOBD's protocol: checks the caller, asks the gateway's state, answers."""
