"""An HTTP mail API in front of an SMTP server, as mail providers have one.

POST /messages {"from", "to", "subject", "text", "reference"} with a bearer key: the mail is handed to the SMTP server
before the answer, 202 {"id"}. Prints `listening on http://127.0.0.1:PORT`, and runs until it is ended.

    .peers/venv/bin/python tests/peers/mail_api.py --smtp PORT --key KEY [--port PORT]
"""

import argparse
import json
import smtplib
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_BODY = 1 << 20


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if length > MAX_BODY:
            return self.answer(413, {"error": "too large"})
        body = self.rfile.read(length)
        if self.headers.get("Authorization") != f"Bearer {self.server.key}":
            return self.answer(401, {"error": "wrong key"})
        if self.path != "/messages":
            return self.answer(404, {"error": "no such path"})
        try:
            fields = json.loads(body)
            message = EmailMessage()
            message["From"], message["To"] = fields["from"], fields["to"]
            message["Subject"], message["X-Reference"] = fields["subject"], fields["reference"]
            message.set_content(fields["text"])
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, {"error": str(error)})
        try:
            with smtplib.SMTP("127.0.0.1", self.server.smtp, timeout=5) as smtp:
                smtp.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            return self.answer(503, {"error": str(error)})
        return self.answer(202, {"id": fields["reference"]})

    def answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description="an HTTP mail API in front of an SMTP server")
    parser.add_argument("--smtp", type=int, required=True, help="the SMTP server's port on 127.0.0.1")
    parser.add_argument("--key", required=True)
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one")
    arguments = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.smtp, server.key = arguments.smtp, arguments.key
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
