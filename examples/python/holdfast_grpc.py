"""A client for Holdfast's gRPC interface, and a small command line over it.

It asks the server for its description (reflection), so there is no generated code to keep up to date. It needs
`pip install grpcio grpcio-reflection`.

    from holdfast_grpc import Holdfast
    holdfast = Holdfast("127.0.0.1:9001", token="…")
    holdfast.Buckets.Create(name="photos")
    print(holdfast.put("photos", "cat.jpg", open("cat.jpg", "rb")).replicas_written)
    header, pieces = holdfast.get("photos", "cat.jpg")

Every method of docs/grpc.md is there: `holdfast.SERVICE.METHOD(field=value, …)`. What goes wrong is a `grpc.RpcError`;
`problem(error)` reads what Holdfast says of it.
"""

import argparse
import os
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "holdfast.v1"
# A message may carry 1 MiB; a quarter of it keeps more of them under way.
PIECE_BYTES = 256 * 1024


class Service:
    """The methods of one service, each as a function from fields to answers."""

    def __init__(self, channel, messages, service, metadata):
        for method in service.methods:
            kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
            call = getattr(channel, kind)(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=messages(method.output_type.full_name).FromString,
            )
            setattr(self, method.name, self._function(call, messages(method.input_type.full_name), method.client_streaming, metadata))

    @staticmethod
    def _function(call, request, client_streaming, metadata):
        if client_streaming:
            return lambda requests, timeout=None: call(requests, timeout=timeout, metadata=metadata())
        return lambda timeout=None, **fields: call(request(**fields), timeout=timeout, metadata=metadata())


class Holdfast:
    """One node. `ca` is the file of the authority that signed its certificate, if it serves TLS."""

    def __init__(self, endpoint, token="", ca=None):
        if ca:
            with open(ca, "rb") as file:
                credentials = grpc.ssl_channel_credentials(file.read())
            self.channel = grpc.secure_channel(endpoint, credentials)
        else:
            self.channel = grpc.insecure_channel(endpoint)
        self.token = token
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self._pool = descriptor_pool.DescriptorPool(database)
        self.services = list(database.get_services())
        for name in self.services:
            if name.startswith(PACKAGE + "."):
                setattr(self, name.removeprefix(PACKAGE + "."), self.service(name))

    def service(self, name):
        """A service by its full name, for instance `grpc.health.v1.Health`."""
        return Service(self.channel, self.message, self._pool.FindServiceByName(name), self._metadata)

    def message(self, name):
        """The class of a message by its full name."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def _metadata(self):
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    def put(self, bucket, key, body, timeout=None, **header):
        """Writes an object: bytes, a file, or an iterable of bytes. `header` is what PutHeader takes: context, w, headers, …"""
        part = self.message(f"{PACKAGE}.PutObjectRequest")
        head = self.message(f"{PACKAGE}.PutHeader")(bucket=bucket, key=key, **header)

        def parts():
            yield part(header=head)
            for piece in pieces_of(body):
                yield part(data=piece)

        return self.Objects.Put(parts(), timeout=timeout)

    def get(self, bucket, key, timeout=None, **options):
        """Reads an object: its header, and its bytes piece by piece. `options` is what GetObjectRequest takes."""
        parts = self.Objects.Get(bucket=bucket, key=key, timeout=timeout, **options)
        header = next(parts).header
        return header, (part.data for part in parts)

    def close(self):
        self.channel.close()


def pieces_of(body):
    """Cuts a body into pieces that fit into messages."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        body = [body]
    elif hasattr(body, "read"):
        body = iter(lambda file=body: file.read(PIECE_BYTES), b"")
    for piece in body:
        for at in range(0, len(piece), PIECE_BYTES):
            yield bytes(piece[at : at + PIECE_BYTES])


def problem(error):
    """What Holdfast says of an error: `error`, `what_to_do`, `state_changed`, and what else it tells, such as `context`."""
    told = {name: value for name, value in (error.trailing_metadata() or ()) if name.startswith("holdfast-")}
    return {name.removeprefix("holdfast-").replace("-", "_"): value for name, value in told.items()}


def main():
    parser = argparse.ArgumentParser(description="Talks gRPC to a Holdfast node.")
    parser.add_argument("--endpoint", default="127.0.0.1:9001")
    parser.add_argument("--token", default=os.environ.get("HOLDFAST_ADMIN_TOKEN", ""))
    parser.add_argument("--ca", help="the authority of the node's certificate, if it serves TLS")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, fields, told in [
        ("mb", ["bucket"], "create a bucket"),
        ("put", ["bucket", "key", "file"], "write a file"),
        ("get", ["bucket", "key"], "read an object to standard output"),
        ("stat", ["bucket", "key"], "all that is known of a key"),
        ("rm", ["bucket", "key"], "delete an object"),
        ("ls", ["bucket"], "list keys"),
        ("locate", ["bucket", "key"], "where a key lives"),
        ("view", [], "the members"),
        ("watch", [], "what happens, as it happens"),
    ]:
        sub = verbs.add_parser(verb, help=told)
        for field in fields:
            sub.add_argument(field)
    asked = parser.parse_args()
    try:
        run(Holdfast(asked.endpoint, asked.token, asked.ca), asked)
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}; {problem(error).get('what_to_do', '')}")


def run(holdfast, asked):
    of_key = {name: getattr(asked, name) for name in ("bucket", "key") if hasattr(asked, name)}
    match asked.verb:
        case "mb":
            print(holdfast.Buckets.Create(name=asked.bucket))
        case "put":
            with open(asked.file, "rb") as file:
                print(holdfast.put(asked.bucket, asked.key, file))
        case "get":
            for piece in holdfast.get(asked.bucket, asked.key)[1]:
                sys.stdout.buffer.write(piece)
        case "stat":
            print(holdfast.Objects.Stat(**of_key))
        case "rm":
            print(holdfast.Objects.Delete(**of_key))
        case "ls":
            for page in holdfast.Objects.List(**of_key):
                for row in page.objects:
                    print(f"{row.size:>12} {row.key}")
        case "locate":
            print(holdfast.Cluster.Locate(**of_key))
        case "view":
            print(holdfast.Cluster.View())
        case "watch":
            for event in holdfast.Cluster.Watch():
                print(event, flush=True)


if __name__ == "__main__":
    main()
