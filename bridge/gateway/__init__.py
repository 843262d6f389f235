"""The openOBD server: sessions, function contexts and functions over the bridge's own buses."""
