"""The OpenXC wire format: messages, their JSON and protobuf forms, and the framing of a stream. PURE."""
