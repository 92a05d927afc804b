"""Names below DOMAIN are this machine, as they are to a browser; Python asks a resolver that knows none of them."""

import os
import socket

resolve = socket.getaddrinfo


def getaddrinfo(host, *args, **kwargs):
    if isinstance(host, str) and host.endswith("." + os.environ["DOMAIN"]):
        host = "127.0.0.1"
    return resolve(host, *args, **kwargs)


socket.getaddrinfo = getaddrinfo
