"""Ed25519 (RFC 8032) as docs/canonical-form.md asks for it: strict, and slow enough to read.

Libraries differ in what they take: some multiply by the cofactor, some know keys of small order. The page gives the rules; this
is nothing but them.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
IDENTITY = (0, 1)


def add(one, other):
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(scalar, point):
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def decode(encoded):
    """The point of 32 bytes; None when there is none, or the bytes are not its only encoding."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def encode(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def is_small(point):
    return multiply(8, point) == IDENTITY


def challenge(nonce_point, agent, message):
    return int.from_bytes(hashlib.sha512(nonce_point + agent + message).digest(), "little") % L


def verify(agent, message, signature):
    nonce_point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    key, nonce = decode(agent), decode(nonce_point)
    if key is None or nonce is None or is_small(key) or is_small(nonce) or scalar >= L:
        return False
    right = add(nonce, multiply(challenge(nonce_point, agent, message), key))
    return multiply(scalar, BASE) == right
