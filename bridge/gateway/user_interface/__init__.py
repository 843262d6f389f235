"""How the controls of openOBD scripts reach a user, and how the answers come back: three ways, one of them chosen."""
