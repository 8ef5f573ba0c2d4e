"""What each node tells of itself while the run lasts, kept in a file for whoever must explain a failure."""

import http.client
import json
import threading
import time

from client import REST_PORT


class Listener(threading.Thread):
    def __init__(self, node, address, token, path):
        super().__init__(daemon=True)
        self.node, self.address, self.token, self.path = node, address, token, path
        self.counts = {}

    def run(self):
        with open(self.path, "w") as file:
            while True:
                try:
                    self.listen(file)
                except (OSError, http.client.HTTPException, ValueError):
                    time.sleep(0.5)

    def listen(self, file):
        connection = http.client.HTTPConnection(self.address, REST_PORT, timeout=20)
        connection.request("GET", "/v1/cluster/events", headers={"Authorization": f"Bearer {self.token}"})
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                kind = json.loads(line[len(b"data: "):])["event"]
                self.counts[kind] = self.counts.get(kind, 0) + 1
                file.write(line[len(b"data: "):].decode())
                file.flush()
