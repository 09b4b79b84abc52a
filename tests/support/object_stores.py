"""Object stores for tests: a folder, fsspec's memory, and a server that speaks S3 (moto)."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["s3_server"]

_AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[Iterator[str]]:
    """A server on loopback, and the environment that leads to it. Yields the URLs of new buckets."""
    from botocore.session import get_session
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ |= _AWS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    client = get_session().create_client("s3")

    def buckets() -> Iterator[str]:
        for number in itertools.count(1):
            client.create_bucket(Bucket=f"calls-{number}")
            yield f"s3://calls-{number}/journals"

    try:
        yield buckets()
    finally:
        client.close()
        server.stop()
        os.environ.clear()
        os.environ.update(before)
