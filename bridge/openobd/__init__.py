"""What both ends of openOBD share: the protocol's messages and services, payload texts, endpoints."""
