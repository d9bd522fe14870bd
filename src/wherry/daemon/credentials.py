"""The daemon's certificate, and whose certificates it accepts."""

import ssl
from pathlib import Path

import msgspec

from wherry import errdefs


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files: the daemon's certificate with its chain, its key, and the authorities of clients.

    `ca` None means that whoever connects is let in.
    """

    cert: Path
    key: Path
    ca: Path | None

    def context(self) -> ssl.SSLContext:
        """EngineError (invalid) names the file that is missing, or is not what it should be."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.num_tickets = 0  # a session would outlive its certificate
        context.set_alpn_protocols(["http/1.1"])
        for file in (self.cert, self.key, self.ca):
            _must_be_readable(file)
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise errdefs.invalid(
                f"tlscert, tlskey: {self.cert} and {self.key} are not a certificate and its key "
                f"in PEM, without a passphrase: {_words(error)}"
            ) from error
        if self.ca is not None:
            try:
                context.load_verify_locations(self.ca)
            except ssl.SSLError as error:
                raise errdefs.invalid(
                    f"tlscacert: {self.ca} holds no certificates in PEM: {_words(error)}"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _must_be_readable(file: Path | None) -> None:
    if file is None:
        return
    try:
        file.read_bytes()
    except OSError as error:
        raise errdefs.invalid(f"TLS: {file} can't be read: {error.strerror}") from error


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("the key is encrypted")


def _words(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason.lower().replace("_", " ") if reason else str(error)
