"""REST as a script wants it: JSON in and out, one endpoint, the admin token."""

import http.client
import json
import ssl
import urllib.error
import urllib.request

import harness


class Rest:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.trust = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None

    def ask(self, method, path, body=None, context=None, type=None):
        """Status, headers and body of an answer, whatever it is."""
        headers = {"Authorization": f"Bearer {harness.ADMIN_TOKEN}"}
        if context:
            headers["Holdfast-Context"] = context
        if type:
            headers["Content-Type"] = type
        if body is not None:
            headers["Content-Length"] = str(len(body))
        request = urllib.request.Request(self.endpoint + path, headers=headers, method=method, data=body)
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.trust) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer broke off: {error!r}") from error

    def json(self, method, path, body=None, context=None, expect=None, type=None):
        """The answer, of this status; of one that says success where none is expected."""
        status, _, told = self.ask(method, path, body, context, type)
        assert status == expect if expect else status in (200, 201), f"{method} {path}: {status} {told[:500]}"
        return json.loads(told)

    def bytes(self, method, path):
        status, _, told = self.ask(method, path)
        assert status == 200, f"{method} {path}: {status} {told[:500]}"
        return told

    def siblings(self, path):
        """The dots of concurrent versions, and the context that covers them."""
        status, headers, told = self.ask("GET", path)
        assert status == 300, f"{path}: {status} {told[:500]}"
        return [version["dot"] for version in json.loads(told)["versions"]], headers["Holdfast-Context"]

    def form(self, path, name, body, sent_as=None):
        """Uploads a file as a browser's form does; `sent_as` makes of the form's bytes what is sent."""
        boundary = "between-the-parts"
        form = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        form += body + f"\r\n--{boundary}--\r\n".encode()
        status, _, told = self.ask("POST", path, sent_as(form) if sent_as else form, type=f"multipart/form-data; boundary={boundary}")
        assert status in (200, 201), f"{path}: {status} {told[:500]}"
        return json.loads(told)
