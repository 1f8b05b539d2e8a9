"""A certificate authority of our own, and a certificate of it for a server on this machine."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

HOST = "judge.example"  # which no name server knows
_CONFIG = f"""
[req]
distinguished_name = name
prompt = no
[name]
CN = {HOST}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:{HOST}, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def make_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The authority's certificate as a file, and what a server needs to show that it knows it."""
    (folder / "openssl.cnf").write_text(_CONFIG)
    own = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name, more in (("authority", ()), ("server", ("-CA", "authority.pem", "-CAkey", "authority.key"))):
        subject = ("-subj", "/CN=an authority of tests") if name == "authority" else ()
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-config", "openssl.cnf", "-extensions", name)
        command = ["openssl", "req", "-x509", *own, *files, *subject, *more]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "authority.pem", context
