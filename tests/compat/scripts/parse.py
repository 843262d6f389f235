"""Parse a recorded stream as the client does on a serial port; prints each message as a line of JSON.

usage: parse.py FILE FORMAT
"""

import json
import sys

from openxc.sources.base import BytestreamDataSource, DataSourceError

CHUNK = 509  # bytes; a prime, so that records are cut everywhere

path, payload_format = sys.argv[1:]


class FileSource(BytestreamDataSource):
    """The client's reading loop, over a file."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with open(path, "rb") as file:  # noqa: PTH123 - any Python that the client runs on
            self.rest = file.read()

    def read(self):
        if not self.rest:
            self.running = False
            raise DataSourceError("the end")
        chunk, self.rest = self.rest[:CHUNK], self.rest[CHUNK:]
        return chunk


def plain(value):
    """The client hands a diagnostic value in protobuf over as it is in the record."""
    return value.numeric_value


messages = []
source = FileSource(callback=messages.append, payload_format=payload_format or None)
source.run()
for message in messages:
    print(json.dumps(message, default=plain))
print(f"corrupted {source.corrupted_messages}, left {len(source.streamer.message_buffer)}")
