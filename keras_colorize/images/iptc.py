"""IPTC data among the image resources of Photoshop, as JPEG and some TIFF files hold them.

Reference:
    Adobe Photoshop File Formats Specification, "Image Resource Blocks"; IPTC-NAA IIM 4.2.
"""

import struct

MARK = b"Photoshop 3.0\0"
"""How a segment of a JPEG begins that holds resources."""

_SIGNATURE, _IPTC = b"8BIM", 0x0404


def from_resources(resources: bytes) -> bytes:
    """The IPTC data among resources; empty if there are none."""
    at = 0
    while resources[at : at + 4] == _SIGNATURE and at + 12 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = resources[at + 6] + 1  # Its length and itself.
        start = at + 6 + name + name % 2
        length = int.from_bytes(resources[start : start + 4])
        if number == _IPTC:
            return resources[start + 4 : start + 4 + length]
        at = start + 4 + length + length % 2
    return b""


def as_resources(data: bytes) -> bytes:
    """IPTC data as the only resource."""
    head = _SIGNATURE + struct.pack(">HHI", _IPTC, 0, len(data))
    return head + data + bytes(len(data) % 2)
