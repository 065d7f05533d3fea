"""A real SMTP server for tests: STARTTLS and a login, as asked for; each mail is a line of JSON.

    smtp_server.py FOLDER

FOLDER/settings.json says `certificate`, `key`, `user`, `password`, `implicit`, `answer`. The port is
written to FOLDER/port, mails to FOLDER/mails.
"""

import asyncio
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

folder = pathlib.Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())


class Keep:
    async def handle_DATA(self, server, session, envelope):
        answer = settings.get("answer")
        if answer:
            # What it was sent, so that a test can see whether an answer gets any further.
            return answer + " " + envelope.content.decode("utf-8", "replace").replace("\r\n", " ")[:400]
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data and session.auth_data.login.decode(),
            "tls": session.ssl is not None,
            "peer": session.peer,
            "content": envelope.content.decode("utf-8", "replace"),
        }
        with open(folder / "mails", "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    good = (
        isinstance(data, LoginPassword)
        and data.login.decode() == settings["user"]
        and data.password.decode() == settings["password"]
    )
    return AuthResult(success=good, handled=False, auth_data=data if good else None)


async def main():
    context = None
    if settings.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["certificate"], settings["key"])
    implicit = context if settings.get("implicit") else None
    has_login = bool(settings.get("user"))

    def protocol():
        return SMTP(
            Keep(),
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=None if implicit else context,
            require_starttls=context is not None and not implicit,
            authenticator=login if has_login else None,
            auth_required=has_login,
            auth_require_tls=not implicit,
        )

    server = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", 0, ssl=implicit
    )
    port = server.sockets[0].getsockname()[1]
    (folder / "port.new").write_text(str(port))
    (folder / "port.new").rename(folder / "port")
    await server.serve_forever()


asyncio.run(main())
